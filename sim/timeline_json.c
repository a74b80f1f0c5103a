/* A timeline as trace events: load the file at ui.perfetto.dev. A process is a block or the pipes, a thread an agent. */
#include "timeline.h"

#include "csv.h"

#include <jansson.h>

#include <string.h>

enum { PIPES = 90, KERNELS = 100 }; /* process numbers: kernel · KERNELS + block, or + PIPES */

static double microseconds(const tw_timeline *t, double cycles)
{
    return cycles / t->clock_hz * 1e6;
}

static void name(json_t *events, const char *what, int process, int thread, const char *text)
{
    json_array_append_new(events, json_pack("{s:s, s:s, s:i, s:i, s:{s:s}}", "ph", "M", "name", what, "pid",
                                            process, "tid", thread, "args", "name", text));
}

static void add_event(json_t *events, const tw_timeline *t, const tw_span *s, int process, int thread)
{
    json_array_append_new(
        events, json_pack("{s:s, s:s, s:s, s:f, s:f, s:i, s:i, s:{s:i, s:i, s:i, s:f, s:f}}", "ph", "X",
                          "name", tw_timeline_step_name(s), "cat", tw_pipe_name(s->pipe), "ts",
                          microseconds(t, s->begin), "dur", microseconds(t, s->end - s->begin), "pid",
                          process, "tid", thread, "args", "key tile", s->tile, "query tile", s->item,
                          "schedule line", s->line, "from cycle", s->begin, "to cycle", s->end));
}

static void add_timeline(json_t *events, const tw_timeline *t, int kernel)
{
    char text[120], agent[40];
    for (size_t i = 0; i < t->count; i++) {
        const tw_span *s = &t->spans[i];
        int process = kernel * KERNELS + s->place, thread = s->agent * 16 + s->lane;
        bool new_block = i == 0 || s->place != t->spans[i - 1].place;
        if (new_block) {
            snprintf(text, sizeof text, "%.60s, block %d", t->name, s->place);
            name(events, "process_name", process, 0, text);
        }
        if (new_block || s->agent != t->spans[i - 1].agent || s->lane != t->spans[i - 1].lane) {
            tw_timeline_agent_name(agent, sizeof agent, s);
            name(events, "thread_name", process, thread, agent);
        }
        add_event(events, t, s, process, thread);
        add_event(events, t, s, kernel * KERNELS + PIPES, (int)s->pipe);
    }
    snprintf(text, sizeof text, "%.60s, pipes", t->name);
    name(events, "process_name", kernel * KERNELS + PIPES, 0, text);
    for (int pipe = TW_PIPE_TENSOR; pipe < TW_NUM_PIPES; pipe++)
        name(events, "thread_name", kernel * KERNELS + PIPES, pipe, tw_pipe_name((tw_pipe)pipe));
}

tw_status tw_timeline_json(const char *path, const tw_timeline *timelines, int count)
{
    tw_csv file;
    TW_TRY(tw_csv_open(&file, path));
    if (!file.file)
        return TW_OK;
    json_t *events = json_array();
    for (int i = 0; i < count && events; i++)
        add_timeline(events, &timelines[i], i);
    json_t *root = json_pack("{s:o, s:s}", "traceEvents", events, "displayTimeUnit", "ns");
    bool failed = !root || json_dumpf(root, file.file, JSON_COMPACT | JSON_REAL_PRECISION(9)) != 0;
    json_decref(root);
    tw_status status = failed ? tw_fail(TW_EIO, "%s: cannot be written as JSON", path) : tw_csv_commit(&file);
    tw_csv_discard(&file);
    return status;
}
