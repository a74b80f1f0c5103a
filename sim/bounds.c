/* Closed forms and lower bounds, written from the papers' formulas: no tile is visited here. */
#include "bounds.h"

#include <math.h>
#include <string.h>

/* One head's traffic, as elements of the input's type and as fp32 row statistics. */
typedef struct traffic {
    int64_t fill, drain;             /* elements of the input's type */
    int64_t fill_stats, drain_stats; /* row statistics */
} traffic;

static int64_t ceil_div(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

static int64_t min64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* 4N² + 4Nd: Q, K in, S out; S in, P out; P, V in, O out. */
static traffic standard(const tw_problem *p)
{
    int64_t scores = (int64_t)p->seqlen_q * p->seqlen_k, d = p->head_dim;
    return (traffic){.fill = p->seqlen_q * d + 2 * p->seqlen_k * d + 2 * scores,
                     .drain = 2 * scores + p->seqlen_q * d};
}

/* Both products read an operand again for each row or column of tiles; a long row of S is read twice. */
static traffic standard_tiled(const tw_problem *p, const tw_tiling *t, const tw_machine *machine)
{
    int64_t nq = p->seqlen_q, nk = p->seqlen_k, d = p->head_dim;
    int64_t tr = ceil_div(nq, t->block_m), tc = ceil_div(nk, t->block_n);
    bool on_chip = nk <= TW_SOFTMAX_ROW_KEYS && (double)nk * tw_dtype_bytes(p->dtype) <= machine->smem_bytes;
    int64_t reads_of_s = on_chip ? 1 : 2;
    return (traffic){.fill = tc * nq * d + tr * nk * d + reads_of_s * nq * nk + nq * nk + tr * nk * d,
                     .drain = 2 * nq * nk + nq * d,
                     .drain_stats = nq};
}

/* Query rows whose tile sees anything of the keys from `key` on: whole tiles from the first one that does. */
static int64_t rows_seeing(const tw_problem *p, const tw_tiling *t, int64_t key)
{
    if (!p->causal)
        return p->seqlen_q;
    int64_t first = key - p->seqlen_k + p->seqlen_q;
    return first <= 0 ? p->seqlen_q : p->seqlen_q - first / t->block_m * t->block_m;
}

/* 2Nd + Σ over key tiles of (3d + 4) rows that see it: Tc (3Nd + 4N) without a mask. */
static traffic flash1(const tw_problem *p, const tw_tiling *t)
{
    int64_t d = p->head_dim, rows = 0;
    for (int64_t key = 0; key < p->seqlen_k; key += t->block_n)
        rows += rows_seeing(p, t, key);
    return (traffic){.fill = 2 * p->seqlen_k * d + 2 * rows * d,
                     .drain = rows * d,
                     .fill_stats = 2 * rows,
                     .drain_stats = 2 * rows};
}

/* 2Nd + N + Σ over query tiles of 2d keys in the tiles they see: Tr · 2Nd without a mask. */
static traffic flash2(const tw_problem *p, const tw_tiling *t)
{
    int64_t d = p->head_dim, q_rows = 0, keys = 0;
    for (int64_t row = 0; row < p->seqlen_q; row += t->block_m) {
        int64_t end = min64(row + t->block_m, p->seqlen_q), seen = tw_problem_keys_seen(p, (int)end - 1);
        keys += min64(ceil_div(seen, t->block_n) * t->block_n, p->seqlen_k);
        q_rows += seen > 0 ? end - row : 0;
    }
    return (traffic){.fill = q_rows * d + 2 * keys * d, .drain = p->seqlen_q * d, .drain_stats = p->seqlen_q};
}

/* The same tiles in another order move the same bytes. */
static bool moves_as_flash2(const char *schedule)
{
    static const char *const names[] = {"flash2", "flash2_prefetch", "flash3", "flash3_serial",
                                        "flash3_pingpong"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(schedule, names[i]) == 0)
            return true;
    return false;
}

tw_status tw_closed_form_bytes(int64_t *fill_bytes, int64_t *drain_bytes, const char *schedule,
                               const tw_problem *p, const tw_tiling *t, const tw_machine *machine)
{
    traffic one;
    if (strcmp(schedule, "standard") == 0)
        one = standard(p);
    else if (strcmp(schedule, "standard_tiled") == 0)
        one = standard_tiled(p, t, machine);
    else if (strcmp(schedule, "flash1") == 0)
        one = flash1(p, t);
    else if (moves_as_flash2(schedule))
        one = flash2(p, t);
    else
        return tw_fail(TW_EUNSUPPORTED, "schedule '%s' has no closed form", schedule);
    int64_t heads = (int64_t)p->num_heads * p->batch, bytes = tw_dtype_bytes(p->dtype);
    *fill_bytes = heads * (one.fill * bytes + one.fill_stats * 4);
    *drain_bytes = heads * (one.drain * bytes + one.drain_stats * 4);
    return TW_OK;
}

double tw_bound_dao_elements(double n, double d, double m)
{
    return n * n * d * d / m;
}

double tw_bound_saha_ye_elements(double n, double d, double m)
{
    double large_cache = n * n * d * d / m, small_cache = n * n * d / sqrt(m);
    return large_cache < small_cache ? large_cache : small_cache;
}

double tw_bound_hong_kung_elements(double m, double h)
{
    return m * (h - 1.0);
}

double tw_bound_compulsory_elements(double n, double d)
{
    return 4.0 * n * d + n;
}
