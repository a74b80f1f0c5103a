/* Replays do not share anything, so every core takes the next one. */
#include "l2_jobs.h"

#include "../cpu_ref/threads.h"
#include "progress.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SECONDS_WITHOUT_BAR 2.0

/* What all threads know of how far they are. */
typedef struct meter {
    double done, total; /* operations */
    struct timespec begin;
    double shown_at; /* seconds after `begin` */
} meter;

/* One job's part of it. */
typedef struct job_meter {
    meter *all;
    double operations, share; /* share: as reported last */
    const tw_l2_job *job;
} job_meter;

static double seconds_since(const struct timespec *begin)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - begin->tv_sec) + 1e-9 * (double)(now.tv_nsec - begin->tv_nsec);
}

static void show(const job_meter *m)
{
    char what[96];
    const tw_problem *p = &m->job->c.problem;
    double seconds = seconds_since(&m->all->begin);
    if (tw_thread_index() != 0 || seconds < SECONDS_WITHOUT_BAR || seconds < m->all->shown_at + 0.2)
        return;
    m->all->shown_at = seconds;
    snprintf(what, sizeof what, "L2: %s %d x %d, %.0f M of %.0f M units", m->job->c.schedule->name,
             p->seqlen_q, p->seqlen_k, m->all->done / 1e6, m->all->total / 1e6);
    tw_progress_show(m->all->done, m->all->total, what);
}

static void on_progress(void *context, double share)
{
    job_meter *m = context;
    double more = (share - m->share) * m->operations;
    m->share = share;
#pragma omp atomic
    m->all->done += more;
    show(m);
}

double tw_l2_operations(const tw_case *c)
{
    const tw_problem *p = &c->problem;
    double tiles = ceil((double)p->seqlen_q / c->tiling.block_m) *
                   ceil((double)p->seqlen_k / c->tiling.block_n);
    /* K and V, or Q, O and their statistics, in halves: four units a tile; standard attention reads S and P too */
    return 4.0 * tiles * p->num_heads * p->batch * (p->causal ? 0.5 : 1.0) + 1.0;
}

static void run_job(tw_l2_job *job, meter *all, double limit)
{
    double operations = tw_l2_operations(&job->c);
    job_meter own = {.all = all, .operations = operations, .job = job};
    job->options.progress = on_progress;
    job->options.progress_context = &own;
    if (job->c.backward != NULL)
        job->status = tw_fail(TW_EUNSUPPORTED, "%s and its backward pass: only forward passes are replayed",
                              job->c.schedule->name);
    else if (operations > limit)
        job->status = tw_fail(TW_EUNSUPPORTED,
                              "%.0f million units are too many to replay unasked; "
                              "tilewise cache replays them however long it takes",
                              operations / 1e6);
    else
        job->status = tw_cache(&job->result, job->c.schedule, &job->c.problem, &job->c.tiling, job->machine,
                               &job->options);
    if (job->status != TW_OK)
        snprintf(job->why, sizeof job->why, "%.255s", tw_error_message());
    on_progress(&own, 1.0);
    job->options.progress = NULL;
    job->options.progress_context = NULL;
}

/* What is beyond plain attention: the same where its numbers and pointers are. */
static bool same_extras(const tw_problem *p, const tw_problem *q)
{
    return p->head_dim_v == q->head_dim_v && p->v_in_k == q->v_in_k && p->cu_seqlens_q == q->cu_seqlens_q &&
           p->cu_seqlens_k == q->cu_seqlens_k && memcmp(&p->mask, &q->mask, sizeof p->mask) == 0 &&
           memcmp(&p->scoring, &q->scoring, sizeof p->scoring) == 0 &&
           p->dropout.probability == q->dropout.probability;
}

/* Would two replays be one and the same? Kernels that differ in arithmetic alone ask for it. */
static bool same_replay(const tw_l2_job *a, const tw_l2_job *b)
{
    const tw_problem *p = &a->c.problem, *q = &b->c.problem;
    const tw_tiling *t = &a->c.tiling, *u = &b->c.tiling;
    const tw_cache_options *x = &a->options, *y = &b->options;
    return a->c.schedule == b->c.schedule && a->c.backward == b->c.backward && a->machine == b->machine &&
           p->batch == q->batch && p->num_heads == q->num_heads && p->num_heads_kv == q->num_heads_kv &&
           p->seqlen_q == q->seqlen_q && p->seqlen_k == q->seqlen_k && p->head_dim == q->head_dim &&
           p->dtype == q->dtype && p->causal == q->causal && same_extras(p, q) && t->block_m == u->block_m &&
           t->block_n == u->block_n && t->fetch == u->fetch && t->unit == u->unit && t->order == u->order &&
           t->kv_order == u->kv_order && t->num_splits == u->num_splits && x->start == y->start &&
           x->blocks_per_sm == y->blocks_per_sm && x->num_workers == y->num_workers &&
           x->static_stride == y->static_stride && x->analyse == y->analyse && x->seed == y->seed;
}

/* The first job of the sorted queue that job i is a repetition of; i itself if it is none. */
static size_t original_of(tw_l2_job *const *queue, size_t i)
{
    double operations = tw_l2_operations(&queue[i]->c);
    size_t original = i;
    for (size_t j = i; j-- > 0 && tw_l2_operations(&queue[j]->c) == operations;)
        if (same_replay(queue[j], queue[i]))
            original = j;
    return original;
}

static void copy_result(tw_l2_job *to, const tw_l2_job *from)
{
    to->status = from->status;
    to->result = from->result;
    memcpy(to->why, from->why, sizeof to->why);
}

static int larger_first(const void *a, const void *b)
{
    double x = tw_l2_operations(&(*(tw_l2_job *const *)a)->c),
           y = tw_l2_operations(&(*(tw_l2_job *const *)b)->c);
    return (x < y) - (x > y);
}

tw_status tw_l2_run_jobs(tw_l2_job *jobs, size_t count, double limit)
{
    meter all = {.total = 0.0};
    tw_l2_job **queue = malloc((count + 1) * sizeof(tw_l2_job *));
    if (!queue)
        return tw_fail(TW_ENOMEM, "no memory for %zu replays", count);
    clock_gettime(CLOCK_MONOTONIC, &all.begin);
    for (size_t i = 0; i < count; i++) {
        queue[i] = &jobs[i];
    }
    qsort(queue, count, sizeof(tw_l2_job *), larger_first);
    for (size_t i = 0; i < count; i++)
        all.total += original_of(queue, i) == i ? tw_l2_operations(&queue[i]->c) : 0.0;
#pragma omp parallel for schedule(dynamic, 1)
    for (size_t i = 0; i < count; i++)
        if (original_of(queue, i) == i)
            run_job(queue[i], &all, limit);
    for (size_t i = 0; i < count; i++)
        if (original_of(queue, i) != i)
            copy_result(queue[i], queue[original_of(queue, i)]);
    if (all.shown_at > 0)
        tw_progress_clear();
    free(queue);
    return TW_OK;
}

tw_cache_options tw_l2_options(const tw_options *o)
{
    return (tw_cache_options){.start = (tw_l2_start)o->l2_start,
                              .blocks_per_sm = o->blocks_per_sm,
                              .num_workers = o->num_workers,
                              .static_stride = o->static_stride,
                              .seed = o->seed};
}

tw_l2_job tw_l2_job_of(const tw_measured *row, const tw_machine *machine, int index)
{
    tw_kernel_launch own = tw_kernel_launch_of(row->kernel, row->c.problem.head_dim, &row->c.tiling);
    tw_l2_job job = {.c = row->c, .machine = machine, .index = index};
    if (job.c.tiling.order == TW_ORDER_OWN)
        job.c.tiling.order = own.order;
    job.options = (tw_cache_options){.start = (tw_l2_start)row->start,
                                     .blocks_per_sm = row->blocks_per_sm > 0 ? row->blocks_per_sm
                                                                             : own.blocks_per_sm,
                                     .num_workers = row->num_workers,
                                     .static_stride = row->static_stride,
                                     .seed = 1};
    return job;
}
