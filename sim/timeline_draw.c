/*
 * A timeline as a picture. gnuplot draws: one panel a kernel, all on one scale; in a panel a lane for each agent, in
 * whose upper half are CUDA cores and copies, in the lower half products, so that both are seen when they run at the
 * same time; and below the agents the pipes that they share.
 */
#define _POSIX_C_SOURCE 200809L
#include "timeline.h"

#include "csv.h"
#include "version.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* What is drawn in one colour: Okabe and Ito's palette, lighter for what goes with it. */
static const struct {
    const char *title, *color;
} inks[] = {{"S = Q Kᵀ", "#0072B2"},       {"O += P V", "#56B4E9"},
            {"softmax", "#E69F00"},        {"mask, rescale, 1 / l", "#F0D9A8"},
            {"load Q, others", "#999999"}, {"load K", "#009E73"},
            {"load V", "#7FCDBB"},         {"store", "#CC79A7"}};
enum { INK_S, INK_PV, INK_SOFTMAX, INK_CORES, INK_Q, INK_K, INK_V, INK_STORE, NUM_INKS };

enum { LANE = 18, TITLE = 26, PIPES = 3, MOST_LANES = 64, WIDTH = 1240, LEFT = 150 };

static int ink_of(const tw_span *s)
{
    switch (s->kind) {
    case TW_OP_MATMUL_NT:
        return INK_S;
    case TW_OP_MATMUL_ADD:
        return INK_PV;
    case TW_OP_SOFTMAX:
    case TW_OP_ONLINE_SOFTMAX:
    case TW_OP_SOFTMAX_APPLY:
    case TW_OP_ROW_STATS:
        return INK_SOFTMAX;
    case TW_OP_LOAD:
        return s->tensor == TW_K ? INK_K : s->tensor == TW_V ? INK_V : INK_Q;
    case TW_OP_STORE:
        return INK_STORE;
    default:
        return INK_CORES;
    }
}

static bool is_product(const tw_span *s)
{
    return s->kind == TW_OP_MATMUL_NT || s->kind == TW_OP_MATMUL_ADD;
}

/* Which of the pipes' lanes a span is drawn in too. */
static int pipe_of(const tw_span *s)
{
    return is_product(s) ? 0 : s->pipe == TW_PIPE_COPY || s->pipe == TW_PIPE_STORE ? 2 : 1;
}

/* ---- lanes ---------------------------------------------------------------------------------------------- */

static bool same_lane(const tw_span *a, const tw_span *b)
{
    return a->place == b->place && a->agent == b->agent && a->lane == b->lane;
}

/* Number of each span's lane, from the top, in the order of the spans. */
static int lane_of(const tw_timeline *t, size_t span)
{
    int lane = 0;
    for (size_t i = 1; i <= span; i++)
        lane += !same_lane(&t->spans[i], &t->spans[i - 1]);
    return lane < MOST_LANES ? lane : MOST_LANES - 1;
}

static int num_lanes(const tw_timeline *t)
{
    return (t->count > 0 ? lane_of(t, t->count - 1) + 1 : 0) + PIPES;
}

/* ---- the script ----------------------------------------------------------------------------------------- */

static void box(FILE *out, const tw_timeline *t, const tw_span *s, double low, double high)
{
    double from = fmax(s->begin, t->begin), to = fmin(s->end, t->end);
    fprintf(out, "%.1f %.2f %.1f %.1f %.2f %.2f\n", from - t->begin, low, from - t->begin, to - t->begin, low,
            high);
}

/* All boxes of one ink: x y xlow xhigh ylow yhigh. Lane n from the top has y from -n - 1 to -n. */
static void ink_data(FILE *out, const tw_timeline *t, int panel, int ink)
{
    int agents = num_lanes(t) - PIPES, lane = 0;
    fprintf(out, "$p%d_%d << EOD\n", panel, ink);
    for (size_t i = 0; i < t->count; i++) {
        const tw_span *s = &t->spans[i];
        lane += i > 0 && !same_lane(s, &t->spans[i - 1]);
        if (ink_of(s) != ink)
            continue;
        double top = -lane - 0.08, middle = -lane - 0.5, bottom = -lane - 0.92;
        if (pipe_of(s) != 2 ||
            s->agent == 1) /* what a warp copies goes on while it calculates: below alone */
            box(out, t, s, is_product(s) ? bottom : middle, is_product(s) ? middle : top);
        double pipe = -(agents + pipe_of(s));
        box(out, t, s, pipe - 0.85, pipe - 0.15);
    }
    fprintf(out, "-1000 0 -1000 -999 0 0.1\nEOD\n"); /* never empty; out of sight */
}

/* Key tiles by number, where there is room. */
static void tile_labels(FILE *out, const tw_timeline *t, double width)
{
    int lane = 0;
    for (size_t i = 0; i < t->count; i++) {
        const tw_span *s = &t->spans[i];
        lane += i > 0 && !same_lane(s, &t->spans[i - 1]);
        double from = fmax(s->begin, t->begin), to = fmin(s->end, t->end);
        if (s->tile < 0 || ink_of(s) > INK_SOFTMAX || to - from < 0.02 * width)
            continue;
        fprintf(out, "set label '%d' at %.1f,%.2f center font ',9' textcolor '%s' front\n", s->tile,
                (from + to) / 2 - t->begin, -lane - (is_product(s) ? 0.71 : 0.29),
                ink_of(s) == INK_S ? "white" : "black");
    }
}

static void lane_names(FILE *out, const tw_timeline *t)
{
    static const char *const pipes[PIPES] = {"products", "CUDA cores", "copies, stores"};
    int agents = num_lanes(t) - PIPES;
    fprintf(out, "set ytics (");
    for (size_t i = 0; i < t->count; i++) {
        char name[40];
        const tw_span *s = &t->spans[i];
        if (i > 0 && same_lane(s, &t->spans[i - 1]))
            continue;
        tw_timeline_agent_name(name, sizeof name, s);
        fprintf(out, "'");
        if (t->num_places > 1)
            fprintf(out, "block %d, ", s->place);
        fprintf(out, "%s' %.1f, ", name, -lane_of(t, i) - 0.5);
    }
    for (int i = 0; i < PIPES; i++)
        fprintf(out, "%s'%s' %.1f", i > 0 ? ", " : "", pipes[i], -(agents + i) - 0.5);
    fprintf(out, ") scale 0\n");
}

/* A text between the quotes of gnuplot, in which a quote is two. */
static void quote(FILE *out, const char *text)
{
    fputc('\'', out);
    for (; *text != '\0'; text++)
        fprintf(out, *text == '\'' ? "''" : "%c", *text);
    fputc('\'', out);
}

static bool shapes_differ(const tw_timeline *t, int count)
{
    for (int i = 1; i < count; i++)
        if (strcmp(t[i].shape, t[0].shape) != 0)
            return true;
    return false;
}

/* What every panel's labels are drawn beside: title, shape and source. */
static void captions(FILE *out, const tw_timeline *t, int count, int height)
{
    char source[400];
    snprintf(source, sizeof source,
             "Predicted by tilewise timeline, commit %s, for %s. Nothing here was measured.", tw_commit(),
             t[0].machine);
    fprintf(out, "set label 101 'One SM at work, cycle by cycle' at screen 0.01,%.5f font ',16'\n",
            1 - 20.0 / height);
    fprintf(out, "set label 102 ");
    quote(out, shapes_differ(t, count) ? "shapes stand over the panels" : t[0].shape);
    fprintf(out, " at screen 0.01,%.5f textcolor '#444444'\nset label 103 ", 1 - 44.0 / height);
    quote(out, source);
    fprintf(out, " at screen 0.01,%.5f font ',9' textcolor '#666666'\n", 12.0 / height);
}

/* The name over a panel; the shape behind it, if it is not that of all. */
static void panel_name(FILE *out, const tw_timeline *t, bool with_shape)
{
    char name[512];
    snprintf(name, sizeof name, "%s%s%s", t->name, with_shape ? ":  " : "", with_shape ? t->shape : "");
    fprintf(out, "set label 100 ");
    quote(out, name);
    fprintf(out, " at graph 0,1 offset 0,0.7 font ',13'\n");
}

static void panel(FILE *out, const tw_timeline *t, int index, int top, int height, double width, bool last)
{
    int lanes = num_lanes(t);
    fprintf(out, "unset arrow\nset tmargin at screen %.5f; set bmargin at screen %.5f\n",
            1 - (double)(top + TITLE) / height, 1 - (double)(top + TITLE + lanes * LANE) / height);
    fprintf(out, "set yrange [%d:0]; set xrange [0:%.1f]\n", -lanes, width);
    fprintf(out, "set arrow from graph 0,first %d to graph 1,first %d nohead linecolor '#888888'\n",
            -(lanes - PIPES), -(lanes - PIPES));
    lane_names(out, t);
    tile_labels(out, t, width);
    if (last)
        fprintf(out,
                "set xtics nomirror format '%%.0f'; set xlabel 'cycles from the left edge' offset 0,0.3\n");
    else
        fprintf(out, "set xtics nomirror format ''; unset xlabel\n");
    fprintf(out, "plot ");
    for (int ink = 0; ink < NUM_INKS; ink++)
        fprintf(out,
                "%s$p%d_%d using 1:2:3:4:5:6 with boxxyerror fillstyle solid 1 noborder linecolor rgb '%s' "
                "%s%s%s",
                ink > 0 ? ", " : "", index, ink, inks[ink].color, index == 0 ? "title '" : "notitle",
                index == 0 ? inks[ink].title : "", index == 0 ? "'" : "");
    fprintf(out, "\n");
}

void tw_timeline_script(FILE *out, const tw_timeline *timelines, int count, bool png)
{
    enum { HEAD = 108, FOOT = 72 };
    int height = HEAD + FOOT, top = HEAD;
    double width = 0;
    for (int i = 0; i < count; i++) {
        height += TITLE + num_lanes(&timelines[i]) * LANE;
        width = fmax(width, timelines[i].end - timelines[i].begin);
    }
    fprintf(out, "set terminal %s noenhanced size %d,%d font 'DejaVu Sans%s,11' background 'white'\n",
            png ? "pngcairo" : "svg", WIDTH, height, png ? "" : ",Verdana,sans-serif");
    fprintf(out, "set encoding utf8\n");
    for (int i = 0; i < count; i++)
        for (int ink = 0; ink < NUM_INKS; ink++)
            ink_data(out, &timelines[i], i, ink);
    fprintf(out, "set multiplot\nset lmargin at screen %.4f; set rmargin at screen 0.985\n",
            (double)LEFT / WIDTH);
    fprintf(out, "set border 3 linecolor '#888888'; set grid xtics linecolor '#dddddd'\n");
    fprintf(out, "set key at screen 0.5,screen %.5f center horizontal maxrows 2 samplen 1.2 width -1\n",
            1 - 76.0 / height);
    bool differ = shapes_differ(timelines, count);
    for (int i = 0; i < count; i++) {
        fprintf(out, "unset label\n");
        if (i == 0)
            captions(out, timelines, count, height);
        panel_name(out, &timelines[i], differ);
        panel(out, &timelines[i], i, top, height, width, i == count - 1);
        fprintf(out, "unset key\n");
        top += TITLE + num_lanes(&timelines[i]) * LANE;
    }
    fprintf(out, "unset multiplot\n");
}

/* ---- gnuplot -------------------------------------------------------------------------------------------- */

/* gnuplot reads the script from a pipe and writes to `to`. −1 without a process. */
static pid_t start_gnuplot(FILE **script, int to)
{
    int ends[2];
    if (pipe(ends) != 0)
        return -1;
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[0], STDIN_FILENO);
        dup2(to, STDOUT_FILENO);
        close(ends[0]);
        close(ends[1]);
        execlp("gnuplot", "gnuplot", "-", (char *)NULL);
        _exit(127);
    }
    close(ends[0]);
    *script = child > 0 ? fdopen(ends[1], "w") : NULL;
    if (!*script)
        close(ends[1]);
    return child;
}

static tw_status run_gnuplot(FILE *picture, const tw_timeline *timelines, int count, bool png)
{
    FILE *script = NULL;
    int code = 0;
    fflush(picture);
    pid_t child = start_gnuplot(&script, fileno(picture));
    if (child < 0)
        return tw_fail(TW_EIO, "gnuplot cannot be started (%s)", strerror(errno));
    if (script) {
        tw_timeline_script(script, timelines, count, png);
        fclose(script);
    }
    while (waitpid(child, &code, 0) < 0 && errno == EINTR)
        continue;
    if (WIFEXITED(code) && WEXITSTATUS(code) == 127)
        return tw_fail(TW_EIO, "gnuplot is not installed, it draws the picture");
    if (!script || !WIFEXITED(code) || WEXITSTATUS(code) != 0)
        return tw_fail(TW_EIO, "gnuplot failed, no picture was drawn");
    return TW_OK;
}

tw_status tw_timeline_draw(const char *path, const tw_timeline *timelines, int count, bool png)
{
    tw_csv picture;
    TW_TRY(tw_csv_open(&picture, path));
    if (!picture.file)
        return TW_OK;
    tw_status status = run_gnuplot(picture.file, timelines, count, png);
    if (status == TW_OK)
        status = tw_csv_commit(&picture);
    tw_csv_discard(&picture);
    return status;
}
