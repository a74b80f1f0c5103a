/* Spans, as the clock tells of them, become a timeline. */
#include "timeline.h"

#include "extras.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static tw_span *one_more(tw_timeline *t)
{
    if (t->count == t->capacity) {
        size_t capacity = t->capacity > 0 ? 2 * t->capacity : 1024;
        tw_span *grown = realloc(t->spans, capacity * sizeof *grown);
        t->no_memory = t->no_memory || !grown;
        if (!grown)
            return NULL;
        t->spans = grown;
        t->capacity = capacity;
    }
    return &t->spans[t->count++];
}

static void keep(void *self, const tw_span *span)
{
    tw_timeline *t = self;
    tw_span *to = one_more(t);
    if (to)
        *to = *span;
}

/* Pieces of wgmma are told of one by one: those of a product, one behind the other, are one span. */
static bool continues(const tw_span *a, const tw_span *b)
{
    return a->pipe == TW_PIPE_TENSOR && b->pipe == TW_PIPE_TENSOR && a->place == b->place &&
           a->agent == b->agent && a->item == b->item && a->tile == b->tile && a->kind == b->kind &&
           fabs(a->end - b->begin) < 1;
}

static int by_lane(const void *x, const void *y)
{
    const tw_span *a = x, *b = y;
    if (a->place != b->place)
        return a->place - b->place;
    if (a->agent != b->agent)
        return a->agent - b->agent;
    if (a->lane != b->lane)
        return a->lane - b->lane;
    return a->begin < b->begin ? -1 : a->begin > b->begin;
}

static void join_pieces(tw_timeline *t)
{
    size_t kept = 0, product = 0; /* product: the last span of tensor cores */
    qsort(t->spans, t->count, sizeof *t->spans, by_lane);
    for (size_t i = 0; i < t->count; i++) {
        if (kept > 0 && continues(&t->spans[product], &t->spans[i])) {
            t->spans[product].end = t->spans[i].end;
            continue;
        }
        product = t->spans[i].pipe == TW_PIPE_TENSOR ? kept : product;
        t->spans[kept++] = t->spans[i];
    }
    t->count = kept;
}

/* From the first wanted key tile of the first query tile to the end of the last; from the start, with what comes before
 * the first. */
static tw_status set_window(tw_timeline *t, const tw_timeline_view *view)
{
    double begin = INFINITY, end = 0;
    for (size_t i = 0; i < t->count; i++) {
        const tw_span *s = &t->spans[i];
        bool wanted = s->item == 0 && s->agent != 1 && s->pipe != TW_PIPE_COPY &&
                      s->tile >= view->first_tile && s->tile < view->first_tile + view->num_tiles;
        begin = wanted && s->begin < begin ? s->begin : begin;
        end = wanted && s->end > end ? s->end : end;
    }
    if (!isfinite(begin))
        return tw_fail(TW_EINVAL, "%s has no key tile %d in the first query tile of this launch", t->name,
                       view->first_tile + 1);
    t->begin = view->first_tile == 0 ? 0 : begin;
    t->end = end;
    return TW_OK;
}

static void keep_one_block(tw_timeline *t)
{
    size_t kept = 0;
    for (size_t i = 0; i < t->count; i++)
        if (t->spans[i].place == 0)
            t->spans[kept++] = t->spans[i];
    t->count = kept;
}

static void cut_to_window(tw_timeline *t)
{
    size_t kept = 0;
    for (size_t i = 0; i < t->count; i++) {
        tw_span s = t->spans[i];
        if (s.end <= t->begin || s.begin >= t->end)
            continue;
        t->num_places = s.place + 1 > t->num_places ? s.place + 1 : t->num_places;
        t->spans[kept++] = s;
    }
    t->count = kept;
}

void tw_timeline_cut(tw_timeline *timelines, int count)
{
    double width = 0;
    for (int i = 0; i < count; i++)
        width = fmax(width, timelines[i].end - timelines[i].begin);
    for (int i = 0; i < count; i++) {
        timelines[i].end = timelines[i].begin + width;
        cut_to_window(&timelines[i]);
    }
}

/* What the picture says that it is of. */
static void describe(tw_timeline *t, const tw_contender *c, const tw_machine *machine)
{
    const tw_problem *p = &c->problem;
    char setting[TW_EXTRAS_NAME];
    tw_extras_name(setting, p);
    snprintf(t->shape, sizeof t->shape, "%s, batch %d, %d heads on %d, head_dim %d, %d queries x %d keys, %s",
             tw_dtype_name(p->dtype), p->batch, p->num_heads, p->num_heads_kv, p->head_dim, p->seqlen_q,
             p->seqlen_k, setting);
    snprintf(t->machine, sizeof t->machine, "%s%s (%s)", machine->name, tw_machine_caveat(machine),
             machine->description);
}

tw_status tw_timeline_record(tw_timeline *timeline, const tw_contender *contender, const tw_machine *machine,
                             const tw_timeline_view *view)
{
    const tw_prediction *p = contender->result;
    tw_timeline t = {.name = contender->name, .clock_hz = p->power.clock_hz};
    tw_clock_observer observer = {keep, &t};
    if (view->launch < 0 || view->launch >= p->num_launches)
        return tw_fail(TW_EINVAL, "launch is %d, %s has launches 1 to %d", view->launch + 1, t.name,
                       p->num_launches);
    int blocks = p->build.blocks_per_sm > 1 ? 2 * p->build.blocks_per_sm : 2;
    tw_status status = tw_predict_watch(p, &contender->problem, machine, view->launch, blocks, &observer);
    if (status == TW_OK && t.no_memory)
        status = tw_fail(TW_ENOMEM, "no memory for a timeline of %zu spans", t.count);
    if (status == TW_OK) {
        join_pieces(&t);
        status = set_window(&t, view);
    }
    if (status == TW_OK) {
        if (view->one_block)
            keep_one_block(&t);
        describe(&t, contender, machine);
        *timeline = t;
    } else {
        free(t.spans);
    }
    return status;
}

void tw_timeline_free(tw_timeline *timeline)
{
    free(timeline->spans);
    *timeline = (tw_timeline){.spans = NULL};
}

void tw_timeline_agent_name(char *text, size_t size, const tw_span *span)
{
    if (span->agent == 1)
        snprintf(text, size, "producer");
    else if (span->agent >= 2)
        snprintf(text, size, "consumer %d", span->agent - 2);
    else
        snprintf(text, size, "warps %d", span->lane);
}

const char *tw_timeline_step_name(const tw_span *s)
{
    static const char *const loads[] = {[TW_Q] = "load Q", [TW_K] = "load K", [TW_V] = "load V"};
    bool own_name = s->kind == TW_OP_LOAD && s->tensor <= TW_V;
    switch (s->kind) {
    case TW_OP_MATMUL_NT:
        return "S = Q K^T";
    case TW_OP_MATMUL_ADD:
        return "O += P V";
    case TW_OP_ONLINE_SOFTMAX:
        return "softmax";
    default:
        return own_name ? loads[s->tensor] : tw_op_name(s->kind);
    }
}
