/* Which tiles fit on chip: a schedule is walked through with nobody counting, and the emitter says what it held. */
#include "fitting.h"

static tw_status ignore_op(void *self, const tw_emitter *e, const tw_op *op)
{
    (void)self, (void)e, (void)op;
    return TW_OK;
}

static const tw_backend ignoring_backend = {.merges = true, .op = ignore_op};

/* Peaks do not depend on what is alike: one head, or the heads that share K and V, and no mask. */
static tw_problem one_head_of(const tw_problem *problem)
{
    tw_problem one = *problem;
    one.num_heads /= one.num_heads_kv; /* packed heads fill a tile */
    one.batch = one.num_heads_kv = 1;
    one.causal = false;
    one.mask = (tw_masks){.window = false};
    one.cu_seqlens_q = one.cu_seqlens_k = NULL;
    return one;
}

/* A schedule, a head and a machine: what tiles are tried on. */
typedef struct trial {
    const tw_schedule *schedule;
    tw_problem one_head;
    const tw_machine *machine;
} trial;

static bool fits(const trial *t, tw_tiling tiling)
{
    return tw_emit(t->schedule, &t->one_head, &tiling, t->machine, &ignoring_backend, NULL) != TW_ESRAM;
}

static int smaller(int a, int b)
{
    return a < b ? a : b;
}

/* The way in which tiles grow while the largest are looked for. */
typedef enum growth { GROW_BOTH, GROW_BLOCK_M, GROW_BLOCK_N } growth;

/* `wanted`, with the sides that grow cut to `size`. */
static tw_tiling cut_to(tw_tiling wanted, int size, growth which)
{
    if (which != GROW_BLOCK_N)
        wanted.block_m = smaller(wanted.block_m, size);
    if (which != GROW_BLOCK_M)
        wanted.block_n = smaller(wanted.block_n, size);
    return wanted;
}

/* The largest size up to `most` that `wanted` may be cut to and fits; 0 if 1 does not. */
static int largest_size(const trial *t, tw_tiling wanted, int most, growth which)
{
    int fitting = 0, refused = most + 1;
    while (refused - fitting > 1) {
        int size = fitting + (refused - fitting) / 2;
        if (fits(t, cut_to(wanted, size, which)))
            fitting = size;
        else
            refused = size;
    }
    return fitting;
}

void tw_largest_tiling(tw_tiling *fitting, const tw_schedule *schedule, const tw_problem *problem,
                       const tw_tiling *wanted, const tw_machine *machine)
{
    const trial t = {schedule, one_head_of(problem), machine};
    int most = wanted->block_m > wanted->block_n ? wanted->block_m : wanted->block_n;
    int size = largest_size(&t, *wanted, most, GROW_BOTH);
    *fitting = cut_to(*wanted, size, GROW_BOTH);
    if (size == 0)
        return;
    tw_tiling wider = *fitting, taller;
    wider.block_n = wanted->block_n;
    fitting->block_n = largest_size(&t, wider, wanted->block_n, GROW_BLOCK_N);
    taller = *fitting;
    taller.block_m = wanted->block_m;
    fitting->block_m = largest_size(&t, taller, wanted->block_m, GROW_BLOCK_M);
}

/* Halves the larger block of those that are open, block_n first; false if none can be halved. */
static bool halve(tw_tiling *tiling, bool m_is_open, bool n_is_open)
{
    bool m_can = m_is_open && tiling->block_m > 1, n_can = n_is_open && tiling->block_n > 1;
    if (n_can && (!m_can || tiling->block_n >= tiling->block_m))
        tiling->block_n /= 2;
    else if (m_can)
        tiling->block_m /= 2;
    return m_can || n_can;
}

void tw_shrink_tiling(tw_tiling *tiling, const tw_schedule *schedule, const tw_problem *problem,
                      const tw_tiling *wanted, const tw_machine *machine)
{
    const trial t = {schedule, one_head_of(problem), machine};
    bool m_is_open = wanted->block_m == 0, n_is_open = wanted->block_n == 0;
    if ((!m_is_open && !n_is_open) || fits(&t, *tiling))
        return;
    tw_tiling tried = *tiling;
    if (schedule->default_tiling && n_is_open)
        tried.block_n = largest_size(&t, *tiling, tiling->block_n, GROW_BLOCK_N);
    if (tried.block_n == 0)
        tried = *tiling;
    while (!fits(&t, tried))
        if (!halve(&tried, m_is_open, n_is_open))
            return;
    *tiling = tried;
}
