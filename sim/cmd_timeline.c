/* tilewise timeline: what an SM does in time, as trace events for Perfetto and as a picture. */
#include "commands.h"
#include "csv.h"
#include "timeline.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char summary[] = "shows what one SM does in time: agents in lanes, pipes below";

typedef struct timeline_options {
    tw_options shared;
    char *kernels, *json, *svg, *png;
    int first_tile, num_tiles, launch;
    bool one_block;
} timeline_options;

#define AT(field) offsetof(timeline_options, field)
static const tw_option own[] = {
    {"kernel", "A,B", TW_OPTION_TEXT, AT(kernels), 0,
     "kernels of `tilewise list kernels`, or fa2, fa3, cudnn, flex; one panel each"},
    {"first-tile", "NUMBER", TW_OPTION_INT, AT(first_tile), 0,
     "key tile to begin with, from 1 (default: 1, and what comes before it)"},
    {"tiles", "NUMBER", TW_OPTION_INT, AT(num_tiles), 0, "key tiles to show (default: 4)"},
    {"launch", "NUMBER", TW_OPTION_INT, AT(launch), 0,
     "of a kernel of several launches, from 1 (default: 1)"},
    {"one-block", NULL, TW_OPTION_FLAG, AT(one_block), 0, "of blocks that share the SM, the first alone"},
    {"svg", "FILE", TW_OPTION_TEXT, AT(svg), 0, "draw a picture, with gnuplot"},
    {"png", "FILE", TW_OPTION_TEXT, AT(png), 0, "the same as PNG"},
    {"json", "FILE", TW_OPTION_TEXT, AT(json), 0, "write trace events for ui.perfetto.dev"},
};

enum { MOST_TIMELINES = 16 };

static const char columns[] =
    "kernel,block,agent,lane,query_tile,key_tile,step,pipe,begin_cycle,end_cycle,schedule_line";

static tw_status write_csv(const tw_timeline *t, int count, const timeline_options *o, int argc, char **argv)
{
    tw_csv csv;
    TW_TRY(tw_csv_open(&csv, o->shared.csv));
    if (!csv.file)
        return TW_OK;
    tw_csv_header(&csv, "tilewise timeline", argc, argv);
    fprintf(csv.file, "%s\n", columns);
    for (int n = 0; n < count; n++)
        for (size_t i = 0; i < t[n].count; i++) {
            const tw_span *s = &t[n].spans[i];
            fprintf(csv.file, "%s,%d,%d,%d,%d,%d,%s,%s,%.1f,%.1f,%d\n", t[n].name, s->place, s->agent,
                    s->lane, s->item, s->tile, tw_timeline_step_name(s), tw_pipe_name(s->pipe), s->begin,
                    s->end, s->line);
        }
    return tw_csv_commit(&csv);
}

/* Without a file: how much of the window each pipe was taken. */
static void print_shares(const tw_timeline *t)
{
    double taken[TW_NUM_PIPES] = {0};
    for (size_t i = 0; i < t->count; i++)
        taken[t->spans[i].pipe] += fmin(t->spans[i].end, t->end) - fmax(t->spans[i].begin, t->begin);
    printf("%s: cycles %.0f to %.0f of the SM with most to do, %d block%s\n", t->name, t->begin, t->end,
           t->num_places, t->num_places > 1 ? "s" : "");
    for (int pipe = 1; pipe < TW_NUM_PIPES; pipe++)
        if (taken[pipe] > 0)
            printf("    %-18s %6.0f cycles of all agents together, %.2f of the window\n",
                   tw_pipe_name((tw_pipe)pipe), taken[pipe], taken[pipe] / (t->end - t->begin));
}

static tw_status record_all(tw_timeline *timelines, const tw_contenders *list, const tw_machine *machine,
                            const timeline_options *o, int *count)
{
    tw_timeline_view view = {.launch = o->launch > 0 ? o->launch - 1 : 0,
                             .first_tile = o->first_tile - 1,
                             .num_tiles = o->num_tiles,
                             .one_block = o->one_block};
    for (size_t i = 0; i < list->count; i++) {
        TW_TRY(tw_timeline_record(&timelines[i], &list->all[i], machine, &view));
        ++*count;
    }
    tw_timeline_cut(timelines, *count);
    return TW_OK;
}

static tw_status show(const tw_contenders *list, const tw_machine *machine, const timeline_options *o,
                      int argc, char **argv)
{
    tw_timeline timelines[MOST_TIMELINES];
    int count = 0;
    tw_status status = record_all(timelines, list, machine, o, &count);
    if (status == TW_OK)
        status = write_csv(timelines, count, o, argc, argv);
    if (status == TW_OK)
        status = tw_timeline_json(o->json, timelines, count);
    if (status == TW_OK)
        status = tw_timeline_draw(o->svg, timelines, count, false);
    if (status == TW_OK)
        status = tw_timeline_draw(o->png, timelines, count, true);
    bool quiet = o->shared.csv || o->json || o->svg || o->png;
    for (int i = 0; i < count; i++) {
        if (status == TW_OK && !quiet)
            print_shares(&timelines[i]);
        tw_timeline_free(&timelines[i]);
    }
    return status;
}

static tw_status timeline(const timeline_options *o, int argc, char **argv)
{
    tw_machine machine;
    tw_contenders list;
    tw_predict_options how = TW_PREDICT_DEFAULTS;
    TW_TRY(tw_options_machine(&machine, &o->shared));
    TW_TRY(tw_contenders_of(&list, o->kernels, &o->shared, &machine));
    tw_status status = TW_OK;
    if (list.count > MOST_TIMELINES)
        status = tw_fail(TW_EINVAL, "%zu timelines are too many for one picture, it may have %d", list.count,
                         MOST_TIMELINES);
    if (status == TW_OK)
        status = tw_contenders_predict(&list, &machine, &how);
    if (status == TW_OK)
        status = show(&list, &machine, o, argc, argv);
    tw_contenders_free(&list);
    return status;
}

int tw_cmd_timeline(int argc, char **argv)
{
    timeline_options o = {.shared = tw_options_default(), .first_tile = 1, .num_tiles = 4};
    unsigned groups = TW_GROUP_ALGORITHM | TW_GROUP_SHAPE | TW_GROUP_CAUSAL | TW_GROUP_TILING |
                      TW_GROUP_MACHINE | TW_GROUP_CSV | TW_GROUP_SPLITS | TW_GROUP_PAGES;
    tw_option_set sets[] = {{own, sizeof own / sizeof own[0], &o, 0}, tw_options_shared(&o.shared, groups)};
    bool help;
    tw_status status = tw_options_read(&help, "tilewise timeline", summary, sets, 2, argc, argv);
    if (status == TW_OK && !help)
        status = timeline(&o, argc, argv);
    tw_options_free(sets, 2);
    return tw_exit_code(status);
}
