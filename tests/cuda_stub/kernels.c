/*
 * The kernels of gpu/, answered by the host: each computes attention by cpu_ref and rounds it. What the GPU's judge is
 * made of (random numbers, exact rows, comparison) is the very code that runs there, one thread of it.
 *
 * TW_STUB_FAULT plants a mistake, so that tests can see it found:
 *     nan      one element of O is never written           offset   one element of O is too large
 *     lse      LSE of the last row is finite, whatever     changed  every run gives other bits
 *     overrun  a byte behind the end of O is written       random   the random numbers are others
 *     exact    the judge itself errs
 */
#include "../../cpu_ref/attention.h"
#include "../../gpu/compare_element.h"
#include "../../gpu/fill.h"
#include "../../gpu/kernel.h"
#include "../../gpu/spin.h"

#include <stdlib.h>
#include <string.h>

static bool fault(const char *name)
{
    const char *planted = getenv("TW_STUB_FAULT");
    return planted != NULL && strcmp(planted, name) == 0;
}

/* ---- what is queued beside the kernels -------------------------------------------------------------------- */

tw_status tw_gpu_spin(struct CUstream_st *stream, long long cycles)
{
    (void)stream, (void)cycles;
    return TW_OK;
}

tw_status tw_gpu_mark_case(struct CUstream_st *stream)
{
    (void)stream;
    return TW_OK;
}

tw_status tw_gpu_fill_normal(void *d_x, tw_dtype dtype, size_t n, uint64_t seed, uint64_t tensor,
                             double factor, struct CUstream_st *stream)
{
    (void)stream;
    n = n <= (size_t)1 << 24 ? n : 1; /* the yardstick's matrices are not looked at */
    for (size_t at = 0; at < n; at += 2) {
        double pair[2];
        tw_philox_normal_pair(pair, seed + fault("random"),
                              tw_gpu_fill_stream(tensor, at / TW_GPU_FILL_CHUNK), at % TW_GPU_FILL_CHUNK / 2);
        for (size_t i = 0; i < 2 && at + i < n; i++)
            tw_dtype_store(d_x, dtype, at + i, factor * pair[i]);
    }
    return TW_OK;
}

/* ---- the judge -------------------------------------------------------------------------------------------- */

tw_status tw_gpu_exact(double *o, double *lse, tw_gpu_exact_scale *scale, double *scratch,
                       const tw_problem *p, const void *q, const void *k, const void *v,
                       struct CUstream_st *stream)
{
    (void)stream;
    for (size_t n = 0; n < tw_problem_lse_elements(p); n++) {
        int row = (int)(n % (size_t)p->seqlen_q),
            head = (int)(n / (size_t)p->seqlen_q % (size_t)p->num_heads);
        int batch = (int)(n / (size_t)p->seqlen_q / (size_t)p->num_heads);
        size_t q_at = tw_problem_q_row(p, batch, head, row),
               k_at = tw_problem_k_row(p, batch, tw_problem_kv_head(p, head), 0);
        tw_exact_row r = {.q = (const uint16_t *)q + q_at,
                          .k = (const uint16_t *)k + k_at,
                          .v = (const uint16_t *)v + k_at,
                          .stride = (size_t)p->num_heads_kv * (size_t)p->head_dim,
                          .num_keys = tw_problem_keys_seen(p, row),
                          .head_dim = p->head_dim,
                          .bf16 = p->dtype == TW_BF16,
                          .scale = tw_problem_scale(p),
                          .scratch = scratch + 2 * n * (size_t)p->seqlen_k};
        tw_exact_result result = tw_exact_attend(o + q_at, &r, 0);
        lse[n] = result.lse;
        tw_raise(&scale->baseline_error, result.baseline_error);
        tw_raise(&scale->baseline_lse_error, result.baseline_lse_error);
        tw_raise(&scale->max_abs_o, result.max_abs_o);
    }
    if (fault("exact"))
        o[0] += 1e-6;
    return TW_OK;
}

tw_status tw_gpu_compare(const tw_gpu_comparison *c, struct CUstream_st *stream)
{
    (void)stream;
    for (size_t i = 0; i < c->o_elements; i++)
        tw_compare_o(c, i);
    for (size_t i = 0; i < c->lse_elements; i++)
        tw_compare_lse(c, i);
    for (int g = 0; g < TW_GPU_SOAK_GUARDS; g++)
        for (size_t i = 0; i < TW_GPU_SOAK_GUARD_BYTES; i++)
            tw_compare_guard(c, g, i);
    return TW_OK;
}

/* ---- attention -------------------------------------------------------------------------------------------- */

static float *widened(const void *from, tw_dtype dtype, size_t n)
{
    float *to = malloc(n * sizeof *to);
    if (to != NULL)
        tw_dtype_convert(to, TW_FP32, from, dtype, n);
    return to;
}

static void plant_fault(const tw_gpu_args *args)
{
    static float runs;
    const tw_problem *p = &args->problem;
    uint16_t *o = args->o;
    size_t elements = tw_problem_q_elements(p), rows = tw_problem_lse_elements(p);
    if (fault("nan"))
        memset(&o[elements / 2], 0xff, sizeof *o);
    if (fault("offset"))
        tw_dtype_store(o, p->dtype, elements / 2, tw_dtype_load(o, p->dtype, elements / 2) + 0.5);
    if (fault("lse"))
        args->lse[rows - 1] = 1e3f;
    if (fault("changed"))
        args->lse[rows - 1] += 1e-5f * ++runs;
    if (fault("overrun"))
        memset(&o[elements], 0, 1);
}

static tw_status attend(const tw_gpu_args *args)
{
    const tw_problem *p = &args->problem;
    size_t nq = tw_problem_q_elements(p), nk = tw_problem_k_elements(p);
    float *q = widened(args->q, p->dtype, nq), *k = widened(args->k, p->dtype, nk),
          *v = widened(args->v, p->dtype, nk), *o = malloc(nq * sizeof *o);
    tw_status status = q && k && v && o ? tw_attention_tiled(o, args->lse, p, q, k, v, args->tiling.block_m,
                                                             args->tiling.block_n)
                                        : tw_fail(TW_ENOMEM, "no memory for the stub");
    if (status == TW_OK) {
        tw_dtype_convert(args->o, p->dtype, o, TW_FP32, nq);
        plant_fault(args);
    }
    free(q);
    free(k);
    free(v);
    free(o);
    return status;
}

static tw_status supports(const char *name, const tw_problem *p, const tw_tiling *t)
{
    TW_TRY(tw_problem_check(p));
    if ((p->dtype != TW_FP16 && p->dtype != TW_BF16) || t->block_m > 256)
        return tw_fail(TW_EUNSUPPORTED, "%s does not take %s", name, tw_dtype_name(p->dtype));
    if (p->head_dim != 64 && p->head_dim != 128 && (p->head_dim != 96 || strncmp(name, "30", 2) != 0))
        return tw_fail(TW_EUNSUPPORTED, "%s does not take head_dim %d", name, p->head_dim);
    return TW_OK;
}

static size_t workspace_bytes(const tw_problem *p, const tw_tiling *t)
{
    return (size_t)(p->seqlen_k + t->block_m);
}

#define TW_KERNEL(name, symbol, schedule, block_m, block_n, exceptions, unit, fetch, min_arch, idea)         \
    extern const tw_tiling tw_##symbol##_tilings[];                                                          \
    const tw_tiling tw_##symbol##_tilings[] = {                                                              \
        {block_m, block_n, fetch, unit, TW_ORDER_OWN, TW_KV_FORWARD, 0, 0},                                  \
        {32, 16, fetch, unit, TW_ORDER_OWN, TW_KV_FORWARD, 0, 0},                                            \
        {0, 0, fetch, unit, TW_ORDER_OWN, TW_KV_FORWARD, 0, 0}};                                             \
    tw_status tw_##symbol##_supports(const tw_problem *problem, const tw_tiling *tiling);                    \
    tw_status tw_##symbol##_supports(const tw_problem *problem, const tw_tiling *tiling)                     \
    {                                                                                                        \
        return supports(name, problem, tiling);                                                              \
    }                                                                                                        \
    size_t tw_##symbol##_workspace_bytes(const tw_problem *problem, const tw_tiling *tiling);                \
    size_t tw_##symbol##_workspace_bytes(const tw_problem *problem, const tw_tiling *tiling)                 \
    {                                                                                                        \
        return workspace_bytes(problem, tiling);                                                             \
    }                                                                                                        \
    tw_status tw_##symbol##_launch(const tw_gpu_args *args);                                                 \
    tw_status tw_##symbol##_launch(const tw_gpu_args *args)                                                  \
    {                                                                                                        \
        return attend(args);                                                                                 \
    }
#include "../../gpu/kernels.def"
