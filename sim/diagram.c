/* Draws what diagram_record.c gathered, as SVG. */
#include "diagram.h"

#include "diagram_record.h"

#include <stdlib.h>
#include <string.h>

enum {
    PANEL_W = 500,
    MARGIN = 14,
    LABEL_W = 46,
    CELL_W = 13,
    LANE_H = 11,
    STRIP_H = 15,
    ACROSS = 3,
    TOP = 44,
    TITLE_H = 46
};

/* Okabe and Ito's palette, lighter for what goes with it. */
static const char *color_of(tw_tensor tensor, bool is_alpha)
{
    if (is_alpha)
        return "#f0d9a8";
    switch (tensor) {
    case TW_Q:
    case TW_DO:
        return "#999999";
    case TW_K:
    case TW_KP:
    case TW_DK:
        return "#009e73";
    case TW_V:
    case TW_VP:
    case TW_DV:
        return "#7fcdbb";
    case TW_S:
    case TW_P:
    case TW_DP:
    case TW_DS:
    case TW_PZ:
    case TW_DPZ:
        return "#56b4e9";
    case TW_O:
    case TW_DQ:
    case TW_DQ_SUM:
        return "#cc79a7";
    case TW_M:
    case TW_L:
    case TW_LSE:
    case TW_D:
        return "#e69f00";
    default:
        return "#d0d0d0";
    }
}

static void text(FILE *out, double x, double y, int size, const char *anchor, const char *style,
                 const char *words)
{
    fprintf(out, "<text x='%.1f' y='%.1f' font-size='%d' text-anchor='%s'%s>", x, y, size, anchor, style);
    for (const char *c = words; *c; c++) {
        if (*c == '&' || *c == '<')
            fprintf(out, *c == '&' ? "&amp;" : "&lt;");
        else
            fputc(*c, out);
    }
    fprintf(out, "</text>\n");
}

static void box(FILE *out, double x, double y, double w, double h, const char *fill, double opacity)
{
    fprintf(out,
            "<rect x='%.1f' y='%.1f' width='%.1f' height='%.1f' fill='%s' fill-opacity='%.2f' stroke='#555' "
            "stroke-width='0.4'/>\n",
            x, y, w, h, fill, opacity);
}

/* ---- above: tensors in HBM ------------------------------------------------------------------------------------------- */

static double mean(const double cells[TW_DIAGRAM_CELLS])
{
    double sum = 0.0;
    for (int i = 0; i < TW_DIAGRAM_CELLS; i++)
        sum += cells[i];
    return sum / TW_DIAGRAM_CELLS;
}

static bool touched(const tw_diagram_record *r, int tensor)
{
    bool list = tensor == TW_TILE_LIST; /* too small to be seen */
    return !list && (mean(r->in[tensor]) > 0.0 || mean(r->out[tensor]) > 0.0);
}

static void times(char words[64], const tw_diagram_record *r, int tensor)
{
    double in = mean(r->in[tensor]), out = mean(r->out[tensor]);
    size_t used = 0;
    words[0] = '\0';
    if (in > 0.0)
        used += (size_t)snprintf(words, 64, "in %.3gx", in);
    if (out > 0.0)
        used += (size_t)snprintf(words + used, 64 - used, "%sout %.3gx", used > 0 ? ", " : "", out);
    if (r->sent[tensor] > 0.0)
        snprintf(words + used, 64 - used, ", link %.3gx", r->sent[tensor]);
}

/* Two tensors a line: its cells, the darker the more often they go in or out, and how often that is. */
static double draw_tensors(FILE *out, const tw_diagram_record *r, double x0, double y)
{
    int n = 0;
    for (int t = 0; t < TW_NUM_TENSORS; t++) {
        if (!touched(r, t))
            continue;
        double x = x0 + (n % 2) * (PANEL_W - 2 * MARGIN) / 2.0, at = y + n / 2 * STRIP_H;
        char words[64];
        text(out, x + LABEL_W - 6, at + 10, 10, "end", "", tw_tensor_name((tw_tensor)t));
        for (int c = 0; c < TW_DIAGRAM_CELLS; c++) {
            double moved = r->in[t][c] + r->out[t][c];
            box(out, x + LABEL_W + c * CELL_W, at, CELL_W, STRIP_H - 4, color_of((tw_tensor)t, false),
                moved > 0.0 ? 0.25 + 0.75 * (moved < 8.0 ? moved / 8.0 : 1.0) : 0.0);
        }
        times(words, r, t);
        text(out, x + LABEL_W + TW_DIAGRAM_CELLS * CELL_W + 5, at + 10, 9, "start", " fill='#444'", words);
        n++;
    }
    return y + (n + 1) / 2 * STRIP_H;
}

/* ---- below: what a block holds ----------------------------------------------------------------------------------------- */

/* Lane of each slot of each place, those of shared memory first; −1 where it is never there. */
typedef struct lanes {
    int of[TW_NUM_PLACES][TW_MAX_SLOTS];
    int count, of_smem;
} lanes;

static lanes lanes_of(const tw_diagram_record *r)
{
    lanes l = {.count = 0};
    memset(l.of, -1, sizeof l.of);
    for (int place = 0; place < TW_NUM_PLACES; place++) {
        for (int i = 0; i < r->num_bars; i++)
            if ((int)r->bars[i].place == place && l.of[place][r->bars[i].slot] < 0)
                l.of[place][r->bars[i].slot] = l.count++;
        if (place == TW_PLACE_SMEM)
            l.of_smem = l.count;
    }
    return l;
}

static void draw_bar(FILE *out, const tw_diagram_record *r, const tw_diagram_bar *bar, double x, double y,
                     double step)
{
    int end = bar->end >= 0 ? bar->end : r->num_ops;
    double from = x + bar->begin * step, width = (end - bar->begin) * step;
    box(out, from, y + 1, width > 3 ? width - 1.5 : 1.5, LANE_H - 2, color_of(bar->tensor, bar->is_alpha),
        1.0);
    char name[24];
    snprintf(name, sizeof name, bar->loaded && width > 30 ? "%s %lld" : "%s",
             bar->is_alpha ? "alpha" : tw_tensor_name(bar->tensor), (long long)bar->row + 1);
    if (width > 20)
        text(out, from + 4, y + LANE_H - 2.5, 8, "start", "", name);
    if (bar->loaded) /* it came from HBM */
        fprintf(out, "<path d='M%.1f %.1f l-2 -3 h4 z' fill='#000'/>\n", from + 0.6, y + 2.5);
    if (bar->store >= 0) /* it goes there */
        fprintf(out, "<path d='M%.1f %.1f l-2.5 4 h5 z' fill='#d00'/>\n", x + (bar->store + 0.5) * step,
                y - 0.5);
}

static double draw_block(FILE *out, const tw_diagram_record *r, double x0, double y)
{
    lanes l = lanes_of(r);
    int of_smem = l.of_smem, count = l.count;
    double x = x0 + LABEL_W, width = PANEL_W - 2 * MARGIN - LABEL_W,
           step = width / (r->num_ops > 0 ? r->num_ops : 1);
    double top = y + 14, gap = 5, bottom = top + count * LANE_H + gap;
    double smem_h = of_smem, registers_h = count - of_smem;
    smem_h *= LANE_H, registers_h *= LANE_H;
    fprintf(out, "<rect x='%.1f' y='%.1f' width='%.1f' height='%.1f' fill='#eef4fb'/>\n", x, top, width,
            smem_h);
    fprintf(out, "<rect x='%.1f' y='%.1f' width='%.1f' height='%.1f' fill='#fdf6ea'/>\n", x,
            top + smem_h + gap, width, registers_h);
    if (of_smem > 0)
        text(out, x - 4, top + of_smem * LANE_H / 2.0 + 3, 8, "end", " fill='#444'", "shared");
    if (count > of_smem)
        text(out, x - 4, top + gap + (of_smem + count) * LANE_H / 2.0 + 3, 8, "end", " fill='#444'",
             "registers");
    for (int m = 0; m < r->num_marks; m++) {
        fprintf(out, "<line x1='%.1f' x2='%.1f' y1='%.1f' y2='%.1f' stroke='#888' stroke-dasharray='2 2'/>\n",
                x + r->marks[m].at * step, x + r->marks[m].at * step, top - 10, bottom);
        if (r->num_marks > 1)
            text(out, x + r->marks[m].at * step + 2, top - 4, 8, "start", " fill='#444'", r->marks[m].name);
    }
    for (int i = 0; i < r->num_bars; i++) {
        int at = l.of[r->bars[i].place][r->bars[i].slot];
        draw_bar(out, r, &r->bars[i], x, top + at * LANE_H + (at >= of_smem ? gap : 0), step);
    }
    return bottom;
}

/* ---- panels -------------------------------------------------------------------------------------------------------------- */

static double panel_height(const tw_diagram_record *r)
{
    int tensors = 0;
    for (int t = 0; t < TW_NUM_TENSORS; t++)
        tensors += touched(r, t);
    return TITLE_H + (tensors + 1) / 2 * STRIP_H + 24 + lanes_of(r).count * LANE_H + 2 * MARGIN;
}

static void draw_panel(FILE *out, const tw_diagram_record *r, const tw_schedule *s, double x, double y,
                       double height)
{
    char paper[96] = "";
    fprintf(out, "<rect x='%.1f' y='%.1f' width='%d' height='%.1f' fill='#fff' stroke='#bbb' rx='4'/>\n",
            x + 4, y + 4, PANEL_W - 8, height - 8);
    text(out, x + MARGIN, y + 24, 15, "start", " font-weight='bold'", s->name);
    if (s->paper)
        snprintf(paper, sizeof paper, "%s, %d", s->paper, s->year);
    text(out, x + PANEL_W - MARGIN, y + 24, 10, "end", " fill='#666'", paper);
    text(out, x + MARGIN, y + 39, 9, "start", " fill='#444'", s->summary);
    double below = draw_tensors(out, r, x + MARGIN, y + TITLE_H + 6);
    draw_block(out, r, x + MARGIN, below);
}

static tw_status draw_all(FILE *out, const tw_schedule *const *schedules, int count,
                          tw_diagram_record *records, double *rows)
{
    int across = count < ACROSS ? count : ACROSS;
    double height = TOP;
    for (int i = 0; i < count; i++) {
        TW_TRY(tw_diagram_run(&records[i], schedules[i]));
        double own = panel_height(&records[i]);
        rows[i / across] = own > rows[i / across] ? own : rows[i / across];
    }
    for (int row = 0; row * across < count; row++)
        height += rows[row];
    fprintf(out,
            "<svg xmlns='http://www.w3.org/2000/svg' width='%d' height='%.0f' viewBox='0 0 %d %.0f' "
            "font-family='sans-serif'>\n",
            across * PANEL_W, height, across * PANEL_W, height);
    fprintf(out,
            "<style>@media (prefers-color-scheme: dark) { svg { filter: invert(0.89) hue-rotate(180deg) } }"
            "</style>\n<rect width='100%%' height='100%%' fill='#fafafa'/>\n");
    text(out, MARGIN, 18, 11, "start", "",
         count > 1
             ? "Above, what is in HBM, and how often each element goes on chip (in) and back (out): four "
               "tiles a side, one head. Below, "
               "what one block holds on chip, from left to right:"
             : "Above: HBM, and how often each element goes on chip and back (four tiles a side, one head).");
    text(out, MARGIN, 34, 11, "start", "",
         count > 1 ? "a long bar is a tile that stays, short ones stream past. Black: it comes from HBM. "
                     "Red: it is stored. Dashed: a launch, or a step of a ring, begins."
                   : "Below: what one block holds; long bars stay. Black: from HBM. Red: stored.");
    double y = TOP;
    for (int i = 0; i < count; i++) {
        draw_panel(out, &records[i], schedules[i], i % across * (double)PANEL_W, y, rows[i / across]);
        if (i % across == across - 1)
            y += rows[i / across];
    }
    fprintf(out, "</svg>\n");
    return TW_OK;
}

tw_status tw_diagram_write(FILE *out, const tw_schedule *const *schedules, int count)
{
    tw_diagram_record *records = calloc((size_t)count, sizeof *records);
    double *rows = calloc((size_t)count, sizeof *rows);
    tw_status status = records && rows ? draw_all(out, schedules, count, records, rows)
                                       : tw_fail(TW_ENOMEM, "no memory for %d diagrams", count);
    free(records);
    free(rows);
    return status;
}
