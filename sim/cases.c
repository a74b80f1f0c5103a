/* From options to what is to be counted: the machine, and the product of all lists. */
#include "backend_count.h"
#include "options.h"

#include <stdio.h>
#include <stdlib.h>

tw_status tw_options_machine(tw_machine *machine, const tw_options *options)
{
    TW_TRY(tw_machine_find(machine, options->machine ? options->machine : "h100"));
    for (int i = 0; i < options->set.count; i++)
        TW_TRY(tw_machine_set(machine, options->set.values[i]));
    if (options->sram_bytes == 0)
        return TW_OK;
    machine->smem_bytes = (double)options->sram_bytes;
    if (machine->smem_bytes_per_sm > 0 && machine->smem_bytes_per_sm < machine->smem_bytes)
        machine->smem_bytes_per_sm = machine->smem_bytes;
    return TW_OK;
}

/* The lists with their defaults filled in. `paired`: both lengths come from one list and stay alike. */
typedef struct axes {
    tw_int_list batch, heads, heads_kv, head_dim, seqlen_q, seqlen_k, block_m, block_n, splits;
    tw_algorithm_list algorithms;
    bool paired;
} axes;

static tw_int_list list_or(const tw_int_list *given, int otherwise)
{
    return given->count > 0 ? *given : (tw_int_list){.count = 1, .values = {otherwise}};
}

/* Of those that nobody has named, only such as have the pass that is asked for. */
static tw_algorithm_list all_algorithms(int passes)
{
    tw_algorithm_list all = {.count = 0};
    for (int i = 0; i < tw_schedule_count() && all.count < TW_ALGORITHMS_MAX; i++)
        if (!tw_schedule_at(i)->variant_of &&
            (passes == TW_PASSES_FORWARD || tw_schedule_backward_of(tw_schedule_at(i))))
            all.values[all.count++] = tw_schedule_at(i);
    return all;
}

/* The lengths come with the offsets of packed sequences: they must not be said again. */
static tw_status check_lengths(const tw_options *o)
{
    const struct {
        const char *name;
        bool given;
    } lengths[] = {{"--seqlen", o->seqlen.count > 0},
                   {"--seqlen-q", o->seqlen_q.count > 0},
                   {"--seqlen-k", o->seqlen_k.count > 0},
                   {"--batch", o->batch.count > 0},
                   {"--tokens", o->tokens > 0}};
    bool packed = o->extras.cu_seqlens || o->extras.cu_seqlens_q || o->extras.cu_seqlens_k;
    for (size_t i = 0; packed && i < sizeof lengths / sizeof lengths[0]; i++)
        if (lengths[i].given)
            return tw_fail(TW_EINVAL,
                           "%s is given beside --cu-seqlens, which says how long sequences are: leave "
                           "it out",
                           lengths[i].name);
    return TW_OK;
}

static tw_status axes_of(axes *a, const tw_options *o)
{
    if (o->seqlen.count > 0 && o->seqlen_q.count > 0 && o->seqlen_k.count > 0)
        return tw_fail(TW_EINVAL,
                       "--seqlen, --seqlen-q and --seqlen-k are all given, two of them say everything");
    if (o->tokens > 0 && o->batch.count > 0)
        return tw_fail(TW_EINVAL, "--tokens and --batch are both given, one of them says everything");
    if (o->hidden > 0 && o->heads.count > 0)
        return tw_fail(TW_EINVAL, "--hidden and --heads are both given, one of them says everything");
    tw_int_list seqlen = list_or(&o->seqlen, 1024);
    a->paired = o->seqlen_q.count == 0 && o->seqlen_k.count == 0;
    a->seqlen_q = o->seqlen_q.count > 0 ? o->seqlen_q : seqlen;
    a->seqlen_k = o->seqlen_k.count > 0 ? o->seqlen_k : seqlen;
    if (a->paired)
        a->seqlen_k = list_or(&(tw_int_list){.count = 0},
                              0); /* one turn, in which seqlen_k follows seqlen_q */
    a->batch = list_or(&o->batch, 1);
    a->heads = list_or(&o->heads, 16);
    a->heads_kv = list_or(&o->heads_kv, o->extras.latent ? 1 : 0); /* 0: as many as query heads */
    a->head_dim = list_or(&o->head_dim, 128);
    a->block_m = list_or(&o->block_m, 0); /* 0: the schedule's choice */
    a->block_n = list_or(&o->block_n, 0);
    a->splits = list_or(&o->splits, 0);
    a->algorithms = o->algorithms.count > 0 ? o->algorithms : all_algorithms(o->passes);
    return TW_OK;
}

/* The digits of `index` in the mixed radix of the lists, last list fastest. */
static void case_at(tw_case *c, const axes *a, const tw_options *o, size_t index)
{
    enum {
        BATCH,
        HEADS,
        HEADS_KV,
        HEAD_DIM,
        SEQLEN_Q,
        SEQLEN_K,
        ALGORITHM,
        BLOCK_M,
        BLOCK_N,
        SPLITS,
        NUM_AXES
    };
    const tw_int_list *lists[NUM_AXES] = {&a->batch,    &a->heads, &a->heads_kv, &a->head_dim, &a->seqlen_q,
                                          &a->seqlen_k, NULL,      &a->block_m,  &a->block_n,  &a->splits};
    int value[NUM_AXES] = {0};
    for (int i = NUM_AXES - 1; i >= 0; i--) {
        size_t count = (size_t)(lists[i] ? lists[i]->count : a->algorithms.count);
        if (count == 0)
            continue; /* no list is empty, but nothing here says so */
        value[i] = lists[i] ? lists[i]->values[index % count] : (int)(index % count);
        index /= count;
    }
    c->schedule = a->algorithms.values[value[ALGORITHM]];
    c->problem = (tw_problem){.batch = value[BATCH],
                              .num_heads = value[HEADS],
                              .num_heads_kv = value[HEADS_KV] > 0 ? value[HEADS_KV] : value[HEADS],
                              .seqlen_q = value[SEQLEN_Q],
                              .seqlen_k = a->paired ? value[SEQLEN_Q] : value[SEQLEN_K],
                              .head_dim = value[HEAD_DIM],
                              .dtype = o->dtype,
                              .causal = o->causal};
    c->wanted = (tw_tiling){.block_m = value[BLOCK_M],
                            .block_n = value[BLOCK_N],
                            .unit = o->dtype == TW_FP32 ? TW_UNIT_FMA : TW_UNIT_TENSOR,
                            .order = (tw_order)o->order,
                            .kv_order = (tw_kv_order)o->kv_order,
                            .num_splits = value[SPLITS],
                            .phi = o->phi};
    c->tiling = c->wanted;
}

/* A schedule's own rule counts K, V, Q and O; where scores and statistics stand in the same memory, its block_n is cut
 * to what fits. Tiles that the user gave, and the common default, are left as they are: they may be refused. */
static tw_tiling tiles_for(const tw_schedule *schedule, const tw_case *c, const tw_machine *machine)
{
    tw_tiling tiling = c->wanted, fitting;
    tw_schedule_default_tiling(schedule, &tiling, &c->problem, machine);
    if (!schedule->default_tiling || c->wanted.block_n != 0)
        return tiling;
    tw_largest_tiling(&fitting, schedule, &c->problem, &tiling, machine);
    return fitting.block_m == tiling.block_m ? fitting : tiling;
}

static void choose_tiles(tw_case *c, const tw_machine *machine)
{
    c->tiling = tiles_for(c->schedule, c, machine);
    if (c->forward)
        c->forward_tiling = tiles_for(c->forward, c, machine);
    if (c->backward)
        c->backward_tiling = tiles_for(c->backward, c, machine);
}

/* What --pass makes of the algorithm that was named: a backward pass named itself needs no --pass. */
static tw_status choose_pass(tw_case *c, int passes)
{
    const tw_schedule *forward = c->schedule, *backward = tw_schedule_backward_of(c->schedule);
    if (c->schedule->pass == TW_PASS_BACKWARD)
        forward = tw_schedule_forward_of(c->schedule), backward = c->schedule;
    if (!backward && passes != TW_PASSES_FORWARD)
        return tw_fail(TW_EUNSUPPORTED,
                       "%s has no backward pass, --pass must be forward or the algorithm another",
                       c->schedule->name);
    if (passes == TW_PASSES_BOTH)
        c->schedule = forward, c->backward = backward;
    else if (passes == TW_PASSES_BACKWARD || c->schedule == backward)
        c->schedule = backward, c->forward = forward;
    return TW_OK;
}

tw_status tw_case_count(tw_count_result *result, const tw_case *c, const tw_machine *machine)
{
    tw_count_result first, second;
    TW_TRY(tw_count(&first, c->schedule, &c->problem, &c->tiling, machine));
    if (c->backward) {
        TW_TRY(tw_count(&second, c->backward, &c->problem, &c->backward_tiling, machine));
        TW_TRY(tw_count_append(&first, &second));
    }
    *result = first;
    return TW_OK;
}

/* batch = tokens / seqlen_q and heads = hidden / head_dim, where those were given. */
static tw_status share_out(tw_case *c, const tw_options *o)
{
    tw_problem *p = &c->problem;
    if (o->tokens % p->seqlen_q != 0)
        return tw_fail(TW_EINVAL, "--tokens is %d, it must be a multiple of seqlen_q, which is %d", o->tokens,
                       p->seqlen_q);
    if (o->hidden % p->head_dim != 0)
        return tw_fail(TW_EINVAL, "--hidden is %d, it must be a multiple of head_dim, which is %d", o->hidden,
                       p->head_dim);
    if (o->tokens > 0)
        p->batch = o->tokens / p->seqlen_q;
    if (o->hidden > 0) {
        bool grouped = o->heads_kv.count > 0;
        p->num_heads = o->hidden / p->head_dim;
        p->num_heads_kv = grouped ? p->num_heads_kv : p->num_heads;
    }
    return tw_problem_check(p);
}

/* ---- what is beyond plain attention --------------------------------------------------------------------- */

/* Do two cases differ in algorithm and tiles alone? What one points to then serves the other. */
static bool same_problem(const tw_problem *a, const tw_problem *b)
{
    return a->batch == b->batch && a->num_heads == b->num_heads && a->num_heads_kv == b->num_heads_kv &&
           a->seqlen_q == b->seqlen_q && a->seqlen_k == b->seqlen_k && a->head_dim == b->head_dim;
}

/* A problem as the lists say, before anything is attached, is kept in `plain` for the next case. */
static tw_status attach(tw_case *c, const tw_case *before, const tw_problem *plain_before,
                        const tw_options *o)
{
    if (before && before->attached && same_problem(&c->problem, plain_before)) {
        c->problem = before->problem;
        c->attached = before->attached;
        c->attached->users++;
        return TW_OK;
    }
    c->attached = calloc(1, sizeof *c->attached);
    if (!c->attached)
        return tw_fail(TW_ENOMEM, "no memory for a case");
    c->attached->users = 1;
    TW_TRY(tw_extras_lengths(c->attached, &c->problem, &o->extras));
    return tw_extras_attach(c->attached, &c->problem, &o->extras, o->seed, !o->counts_only);
}

void tw_cases_free(tw_case *cases, size_t count)
{
    for (size_t i = 0; cases && i < count; i++)
        tw_attached_release(cases[i].attached);
    free(cases);
}

static bool suits(const tw_schedule *schedule, const tw_problem *problem)
{
    return tw_honours_check(schedule, problem) == TW_OK && (!schedule->suits || schedule->suits(problem));
}

/* Where no algorithm was named, those are taken that can do the problem and are meant for it; a backward pass that
 * several algorithms share, once. */
static bool is_offered(const tw_case *c, bool named)
{
    bool again = c->forward && tw_schedule_forward_of(c->schedule) != c->forward;
    return named || (suits(c->schedule, &c->problem) && tw_tiling_check(c->schedule, &c->wanted) == TW_OK &&
                     (!c->forward || suits(c->forward, &c->problem)) &&
                     (!c->backward || suits(c->backward, &c->problem)) && !again);
}

static size_t number_of_cases(const axes *a)
{
    double product = (double)a->batch.count * a->heads.count * a->heads_kv.count * a->head_dim.count *
                     a->seqlen_q.count * a->seqlen_k.count * a->algorithms.count * a->block_m.count *
                     a->block_n.count * a->splits.count;
    return product <= TW_CASES_MAX ? (size_t)product : TW_CASES_MAX + 1;
}

/* Case `index` of the lists, and its problem before anything is attached. */
static tw_status make_case(tw_case *c, tw_problem *plain, const tw_case *before,
                           const tw_problem *plain_before, const axes *a, const tw_options *o, size_t index)
{
    case_at(c, a, o, index);
    TW_TRY(choose_pass(c, o->passes));
    TW_TRY(share_out(c, o));
    *plain = c->problem;
    return tw_extras_given(&o->extras) ? attach(c, before, plain_before, o) : TW_OK;
}

tw_status tw_options_cases(tw_case **cases, size_t *count, const tw_options *options,
                           const tw_machine *machine)
{
    axes a = {.paired = false};
    tw_problem plain[2] = {{.batch = 0}, {.batch = 0}}; /* of the case before, and of this one */
    size_t used = 0;
    TW_TRY(check_lengths(options));
    TW_TRY(tw_extras_check(&options->extras, options->causal));
    TW_TRY(axes_of(&a, options));
    size_t n = number_of_cases(&a);
    if (n > TW_CASES_MAX)
        return tw_fail(TW_EINVAL, "the lists combine to more than %d cases, give fewer values", TW_CASES_MAX);
    tw_case *all = calloc(n, sizeof *all);
    if (!all)
        return tw_fail(TW_ENOMEM, "no memory for %zu cases", n);
    tw_status status = TW_OK;
    for (size_t i = 0; i < n && status == TW_OK; i++) {
        status = make_case(&all[used], &plain[1], used > 0 ? &all[used - 1] : NULL, &plain[0], &a, options,
                           i);
        if (status == TW_OK && is_offered(&all[used], options->algorithms.count > 0)) {
            choose_tiles(&all[used++], machine);
            plain[0] = plain[1];
        } else {
            tw_attached_release(all[used].attached);
            all[used].attached = NULL;
        }
    }
    if (status != TW_OK) {
        tw_cases_free(all, used);
        return status;
    }
    *cases = all;
    *count = used;
    return TW_OK;
}
