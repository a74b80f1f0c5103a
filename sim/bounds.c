/* Closed forms and lower bounds, written from the papers' formulas: no tile is visited here. */
#include "bounds.h"
#include "../cpu_ref/whole.h"
#include "bounds_decode.h"
#include "bounds_parts.h"

#include <math.h>
#include <string.h>

typedef tw_traffic traffic;
typedef tw_loaded loaded;

/* What a bias and sink logits add to a pass that visits so many scores in so many blocks. */
void tw_bounds_add_scoring(traffic *one, const tw_problem *p, int64_t scores, int64_t blocks)
{
    if (p->scoring.bias)
        one->fill += scores;
    if (p->scoring.sink_logits)
        one->fill_stats += blocks * max64(1, p->heads_in_rows);
}

/* A tile of codes comes with its scales: one of the tensor's, one a block of rows, or one a row but for V. So many tiles of
 * each are loaded; of Q so many rows, of K and V together so many. */
static void add_scales(traffic *one, const tw_problem *p, int64_t q_tiles, int64_t k_tiles, int64_t v_tiles,
                       int64_t q_rows, int64_t k_and_v_rows)
{
    if (!tw_quantize_is_on(&p->quantize))
        return;
    bool tokens = p->quantize.scales == TW_SCALES_TOKEN;
    one->fill_stats += tokens ? q_rows + k_and_v_rows / 2 + v_tiles : q_tiles + k_tiles + v_tiles;
}

/* 4N² + 4Nd: Q, K in, S out; S in, P out; P, V in, O out. */
static traffic standard(const tw_problem *p)
{
    int64_t scores = (int64_t)p->seqlen_q * p->seqlen_k, d = p->head_dim, d_v = tw_problem_head_dim_v(p);
    traffic one = {.fill_inputs = p->seqlen_q * d + p->seqlen_k * (d + d_v),
                   .fill = 2 * scores,
                   .drain = 2 * scores + p->seqlen_q * d_v};
    int64_t of_k = tw_quantize_scales(&p->quantize, TW_QUANTIZED_K, p->seqlen_k);
    int64_t of_v = tw_quantize_scales(&p->quantize, TW_QUANTIZED_V,
                                      p->seqlen_k); /* a whole matrix has them all */
    add_scales(&one, p, tw_quantize_scales(&p->quantize, TW_QUANTIZED_Q, p->seqlen_q), of_k, of_v,
               p->seqlen_q, 2 * (int64_t)p->seqlen_k);
    tw_bounds_add_scoring(&one, p, scores, 1);
    return one;
}

/* Both products read an operand again for each row or column of tiles; a long row of S is read twice. */
static traffic standard_tiled(const tw_problem *p, const tw_tiling *t, const tw_machine *machine)
{
    int64_t nq = p->seqlen_q, nk = p->seqlen_k, d = p->head_dim, d_v = tw_problem_head_dim_v(p);
    int64_t tr = ceil_div(nq, t->block_m), tc = ceil_div(nk, t->block_n);
    bool on_chip = nk <= TW_SOFTMAX_ROW_KEYS && (double)nk * tw_dtype_bytes(p->dtype) <= machine->smem_bytes;
    int64_t reads_of_s = on_chip ? 1 : 2;
    traffic one = {.fill_inputs = tc * nq * d + tr * nk * d + tr * nk * d_v,
                   .fill = reads_of_s * nq * nk + nq * nk,
                   .drain = 2 * nq * nk + nq * d_v,
                   .drain_stats = nq};
    add_scales(&one, p, tr * tc, tr * tc, tr * tc, tc * nq, 2 * tr * nk);
    tw_bounds_add_scoring(&one, p, reads_of_s * nq * nk, nq);
    return one;
}

/* ---- what tiles see ------------------------------------------------------------------------------------- */

/* Whole tiles of `block` rows around [begin, end), the last cut at `length`. */
static loaded tiles_around(int64_t begin, int64_t end, int64_t block, int64_t length)
{
    if (begin >= end)
        return (loaded){0, 0};
    int64_t first = begin / block, behind = ceil_div(end, block);
    return (loaded){min64(behind * block, length) - first * block, behind - first};
}

/* Blocks of an aligned block mask that are on, in a row of them or in a column. */
static loaded blocks_on(const tw_problem *p, int64_t index, bool column)
{
    const tw_masks *m = &p->mask;
    int64_t rows = ceil_div(p->seqlen_q, m->block_rows), cols = ceil_div(p->seqlen_k, m->block_keys);
    int64_t block = column ? m->block_rows : m->block_keys, length = column ? p->seqlen_q : p->seqlen_k;
    loaded all = {0, 0};
    for (int64_t i = 0; i < (column ? rows : cols); i++) {
        if (!m->blocks[column ? i * cols + index : index * cols + i])
            continue;
        all.rows += min64(block, length - i * block);
        all.tiles++;
    }
    return all;
}

/* The same of keys that one device has, of which a row may see none although its neighbours do. */
static loaded keys_of_part(const tw_problem *p, const tw_tiling *t, int64_t row0, int64_t row1)
{
    int64_t front_end = 0, begin = p->seqlen_k, end = 0, n = t->block_n;
    for (int64_t row = row0; row < row1; row++) {
        tw_spans s = tw_mask_spans(p, (int)row);
        if (s.end[0] > s.begin[0])
            front_end = max64(front_end, s.end[0]);
        if (s.end[1] > s.begin[1])
            begin = min64(begin, s.begin[1]), end = max64(end, s.end[1]);
    }
    loaded front = tiles_around(0, front_end, n, p->seqlen_k);
    loaded rest = tiles_around(max64(begin, front.tiles * n), end, n, p->seqlen_k);
    return (loaded){front.rows + rest.rows, front.tiles + rest.tiles};
}

/* Keys that query rows [row0, row1) load. Neighbouring rows see neighbouring keys, so the first and the last row say
 * where the keys of all begin and end: those in front by prefix or sinks, and the others. */
loaded tw_bounds_keys_loaded(const tw_problem *p, const tw_tiling *t, int64_t row0, int64_t row1)
{
    int64_t n = t->block_n, nk = p->seqlen_k;
    if (p->mask.blocks)
        return blocks_on(p, row0 / t->block_m, false);
    if (p->key_part.of > 0)
        return keys_of_part(p, t, row0, row1);
    tw_spans first = tw_mask_spans(p, (int)row0), last = tw_mask_spans(p, (int)row1 - 1);
    bool apart = first.end[0] > first.begin[0];
    loaded front = tiles_around(0, apart ? last.end[0] : 0, n, nk);
    int64_t behind_front = front.tiles * n;
    loaded rest = tiles_around(max64(first.begin[1], behind_front), last.end[1], n, nk);
    return (loaded){front.rows + rest.rows, front.tiles + rest.tiles};
}

/* Query rows that load keys [key0, key1): row x sees keys from x + N' − N − left to x + N' − N + right. */
static loaded rows_loaded(const tw_problem *p, const tw_tiling *t, int64_t key0, int64_t key1)
{
    int64_t shift = (int64_t)p->seqlen_k - p->seqlen_q, begin = 0, end = p->seqlen_q;
    int left = p->mask.window ? p->mask.window_left : -1, right = p->mask.window ? p->mask.window_right : -1;
    if (p->mask.blocks)
        return blocks_on(p, key0 / t->block_n, true);
    if (p->causal)
        right = 0;
    if (right >= 0)
        begin = max64(0, key0 - right - shift);
    if (left >= 0)
        end = min64(end, key1 + left - shift);
    return tiles_around(begin, end, t->block_m, p->seqlen_q);
}

/* What these formulas know: runs of keys without documents, and block masks of the tiles' own size, by themselves. */
static bool has_formula(const tw_problem *p, const tw_tiling *t, bool by_columns)
{
    const tw_masks *m = &p->mask;
    bool fronts = m->prefix > 0 || m->sinks > 0;
    if (m->blocks)
        return m->block_rows == t->block_m && m->block_keys == t->block_n && !m->blocks_per_head && !m->mod &&
               !m->window && !p->causal && !m->documents;
    return !m->mod && !m->buckets_q && !m->documents && !(by_columns && fronts);
}

/* ---- the tiled algorithms ------------------------------------------------------------------------------- */

/* 2Nd + Σ over key tiles of (3d + 4) rows that see it: Tc (3Nd + 4N) without a mask. A block mask's lists besides. */
static traffic flash1(const tw_problem *p, const tw_tiling *t)
{
    int64_t d = p->head_dim, d_v = tw_problem_head_dim_v(p), keys = 0, rows = 0, scores = 0, lists = 0;
    for (int64_t key = 0; key < p->seqlen_k; key += t->block_n) {
        int64_t end = min64(key + t->block_n, p->seqlen_k);
        loaded seeing = rows_loaded(p, t, key, end);
        keys += seeing.rows > 0 ? end - key : 0;
        rows += seeing.rows;
        scores += seeing.rows * (end - key);
        lists += seeing.rows > 0 && p->mask.blocks ? 2 + seeing.tiles : 0;
    }
    traffic one = {.fill = (keys + rows) * (d + d_v),
                   .drain = rows * d_v,
                   .fill_stats = 2 * rows + lists,
                   .drain_stats = 2 * rows};
    tw_bounds_add_scoring(&one, p, scores, 0);
    return one;
}

/* 2Nd + N + Σ over query tiles of the keys in the tiles they see, `width` numbers each: Tr · 2Nd without a mask. Each
 * of `agents` of a block that has rows reads what belongs to all of them. */
static traffic q_outer(const tw_problem *p, const tw_tiling *t, int64_t width, bool lists, int64_t agents)
{
    int64_t d_v = tw_problem_head_dim_v(p), q_rows = 0, keys = 0, scores = 0, indices = 0, tiles = 0,
            q_tiles = 0, agents_with_rows = 0;
    for (int64_t row = 0; row < p->seqlen_q; row += t->block_m) {
        int64_t end = min64(row + t->block_m, p->seqlen_q);
        loaded seen = tw_bounds_keys_loaded(p, t, row, end);
        keys += seen.rows;
        q_rows += seen.rows > 0 ? end - row : 0;
        scores += (end - row) * seen.rows;
        indices += 2 + seen.tiles;
        tiles += seen.tiles;
        int64_t with_rows = ceil_div(end - row, ceil_div(end - row, agents));
        agents_with_rows += with_rows;
        q_tiles += seen.rows > 0 ? with_rows : 0;
    }
    traffic one = {.fill_inputs = q_rows * p->head_dim + keys * width,
                   .fill_stats = lists || p->mask.blocks ? indices : 0,
                   .drain = p->seqlen_q * d_v,
                   .drain_stats = p->seqlen_q};
    tw_bounds_add_scoring(&one, p, scores, agents_with_rows);
    add_scales(&one, p, q_tiles, tiles, tiles, q_rows, 2 * keys);
    return one;
}

/* Agents of a block that each want the sink logits. */
static int64_t consumers_of(const char *schedule, const tw_tiling *t)
{
    return strncmp(schedule, "flash3", 6) != 0 ? 1 : t->block_m > 128 ? 3 : 2;
}

/* The same tiles in another order move the same bytes. */
static bool moves_as_flash2(const char *schedule)
{
    static const char *const names[] = {"flash2",        "flash2_prefetch", "flash3",
                                        "flash3_serial", "flash3_pingpong", "flash3_fp8",
                                        "int_flash",     "flash2_sawtooth", "flash4"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(schedule, names[i]) == 0)
            return true;
    return false;
}

/* ---- dropout and masks as kernels of their own ----------------------------------------------------------- */

/* standard; 2N² where there is a mask; P in, P ∘ Z and Z out where there is dropout. */
static traffic standard_unfused(const tw_problem *p)
{
    int64_t scores = (int64_t)p->seqlen_q * p->seqlen_k;
    traffic one = standard(p);
    if (tw_mask_is_on(p))
        one.fill += scores, one.drain += scores;
    if (tw_dropout_is_on(&p->dropout))
        one.fill += scores, one.drain += scores, one.drain_bytes += scores;
    return one;
}

/* ---- backward passes: of one K/V head and the g query heads that read it --------------------------------- */

/* 7N² + 8Nd: dV = Pᵀ dO, dP = dO Vᵀ, dS of P and dP, dQ = dS K, dK = dSᵀ Q. */
static traffic standard_backward(const tw_problem *p, int64_t g)
{
    int64_t nq = p->seqlen_q, nk = p->seqlen_k, scores = nq * nk, d = p->head_dim,
            d_v = tw_problem_head_dim_v(p);
    return (traffic){.fill = g * (5 * scores + 2 * nq * d_v + nk * d_v + nk * d + nq * d),
                     .drain = g * (2 * scores + nq * d) + nk * (d + d_v)};
}

/* The same, where d(P ∘ Z) and Z go in and dP comes out of a kernel of dropout's own. */
static traffic standard_unfused_backward(const tw_problem *p, int64_t g)
{
    int64_t scores = g * p->seqlen_q * p->seqlen_k;
    traffic one = standard_backward(p, g);
    if (tw_dropout_is_on(&p->dropout))
        one.fill += scores, one.drain += scores, one.fill_bytes += scores;
    return one;
}

/* A factor goes in again for each row or column of tiles of the result; long rows of P and dP twice. */
static traffic standard_tiled_backward(const tw_problem *p, const tw_tiling *t, const tw_machine *machine,
                                       int64_t g)
{
    int64_t nq = p->seqlen_q, nk = p->seqlen_k, scores = nq * nk, d = p->head_dim,
            d_v = tw_problem_head_dim_v(p);
    int64_t tr = ceil_div(nq, t->block_m), tc = ceil_div(nk, t->block_n);
    bool on_chip = nk <= TW_SOFTMAX_ROW_KEYS &&
                   2.0 * (double)nk * tw_dtype_bytes(p->dtype) <= machine->smem_bytes;
    int64_t factors = 2 * tc * nq * d_v + tr * nk * d_v + tr * nk * d + tc * nq * d;
    return (traffic){.fill = g * ((on_chip ? 5 : 7) * scores + factors),
                     .drain = g * (2 * scores + nq * d) + nk * (d + d_v)};
}

/* What key tiles see, added up: keys that are seen, query rows and tiles of them that see each. */
typedef struct visits {
    int64_t keys, rows, lists;
} visits;

static visits visits_of(const tw_problem *p, const tw_tiling *t)
{
    visits all = {0, 0, 0};
    for (int64_t key = 0; key < p->seqlen_k && p->seqlen_q > 0; key += t->block_n) {
        int64_t end = min64(key + t->block_n, p->seqlen_k);
        loaded seeing = rows_loaded(p, t, key, end);
        all.keys += seeing.rows > 0 ? end - key : 0;
        all.rows += seeing.rows;
        all.lists += seeing.rows > 0 && p->mask.blocks ? 2 + seeing.tiles : 0;
    }
    return all;
}

/* 4Nd + Tc (5Nd + 2N): K, V in and dK, dV out; Q, O, dO, dQ, m, l in and dQ out for every key tile that sees them. */
static traffic flash1_backward(const tw_problem *p, const tw_tiling *t, int64_t g)
{
    int64_t d = p->head_dim, d_v = tw_problem_head_dim_v(p);
    visits v = visits_of(p, t);
    return (traffic){.fill = v.keys * (d + d_v) + g * v.rows * 2 * (d + d_v),
                     .drain = v.keys * (d + d_v) + g * v.rows * d,
                     .fill_stats = g * (2 * v.rows + v.lists)};
}

/* D: 3Nd + N. Gradients: 4Nd + Tc (3Nd + 2N). Conversion: 2Nd. */
static traffic flash2_backward(const tw_problem *p, const tw_tiling *t, int64_t g)
{
    int64_t nq = p->seqlen_q, nk = p->seqlen_k, d = p->head_dim, d_v = tw_problem_head_dim_v(p);
    visits v = visits_of(p, t);
    return (traffic){.fill = g * 2 * nq * d_v + (v.keys + g * v.rows) * (d + d_v),
                     .drain = nk * (d + d_v) + g * nq * d,
                     .fill_stats = g * (2 * v.rows + v.lists + nq * d),
                     .drain_stats = g * (nq + nq * d + v.rows * d)};
}

/* False if the schedule is none of these. */
static bool backward(traffic *one, const char *schedule, const tw_problem *p, const tw_tiling *t,
                     const tw_machine *machine)
{
    int64_t g = p->num_heads / p->num_heads_kv;
    if (strcmp(schedule, "standard_backward") == 0)
        *one = standard_backward(p, g);
    else if (strcmp(schedule, "standard_unfused_backward") == 0)
        *one = standard_unfused_backward(p, g);
    else if (strcmp(schedule, "standard_tiled_backward") == 0)
        *one = standard_tiled_backward(p, t, machine, g);
    else if (strcmp(schedule, "flash1_backward") == 0)
        *one = flash1_backward(p, t, g);
    else if (strcmp(schedule, "flash2_backward") == 0)
        *one = flash2_backward(p, t, g);
    else
        return false;
    return true;
}

/* Those of which the page table's bytes are known: every tile of K and of V that is visited asks for its pages. */
static bool reads_pages(const char *schedule)
{
    return strcmp(schedule, "flash2") == 0 || strcmp(schedule, "gqa_packed") == 0;
}

static bool is_backward(const char *schedule)
{
    const char *ending = strstr(schedule, "_backward");
    return ending && strcmp(ending, "_backward") == 0;
}

static tw_status one_head(traffic *one, int *heads, const char *schedule, const tw_problem *p,
                          const tw_tiling *t, const tw_machine *machine)
{
    tw_problem packed = tw_problem_packed(p);
    int64_t k_and_v = (int64_t)p->head_dim + tw_problem_head_dim_v(p);
    bool by_columns = strcmp(schedule, "flash1") == 0 || is_backward(schedule);
    bool visits_all = strncmp(schedule, "standard", 8) == 0 || strcmp(schedule, "flash_window") == 0 ||
                      strcmp(schedule, "scfa") == 0;
    bool packs = strcmp(schedule, "gqa_packed") == 0 || strcmp(schedule, "mla") == 0;
    bool projects = strcmp(schedule, "linformer") == 0;
    *heads = packs || projects || is_backward(schedule) ? p->num_heads_kv : p->num_heads;
    if (!visits_all && !has_formula(p, t, by_columns))
        return tw_fail(TW_EUNSUPPORTED, "schedule '%s' has no closed form under this mask", schedule);
    if (p->page_size > 0 && (!reads_pages(schedule) || p->mask.blocks))
        return tw_fail(TW_EUNSUPPORTED, "schedule '%s' has no closed form with pages", schedule);
    if (packs && p->mask.blocks)
        return tw_fail(TW_EUNSUPPORTED, "schedule '%s' has no closed form under a block mask", schedule);
    if (strcmp(schedule, "standard") == 0)
        *one = standard(p);
    else if (strcmp(schedule, "standard_tiled") == 0)
        *one = standard_tiled(p, t, machine);
    else if (strcmp(schedule, "standard_unfused") == 0)
        *one = standard_unfused(p);
    else if (strcmp(schedule, "flash1") == 0)
        *one = flash1(p, t);
    else if (moves_as_flash2(schedule))
        *one = q_outer(p, t, k_and_v, false, consumers_of(schedule, t));
    else if (strcmp(schedule, "flex") == 0)
        *one = q_outer(p, t, k_and_v, true, 1);
    else if (strcmp(schedule, "gqa_packed") == 0)
        *one = q_outer(&packed, t, k_and_v, false, 1);
    else if (strcmp(schedule, "mla") == 0)
        *one = q_outer(&packed, t, p->head_dim, false, 1);
    else if (!tw_bounds_family(one, schedule, p, t) && !backward(one, schedule, p, t, machine))
        return tw_fail(TW_EUNSUPPORTED, "schedule '%s' has no closed form", schedule);
    if (p->page_size > 0)
        one->fill_stats += tw_page_entries(packs ? &packed : p, t);
    return TW_OK;
}

tw_status tw_closed_form_bytes(int64_t *fill_bytes, int64_t *drain_bytes, const char *schedule,
                               const tw_problem *p, const tw_tiling *t, const tw_machine *machine)
{
    if (tw_splits_keys(schedule))
        return tw_closed_form_of_parts(fill_bytes, drain_bytes, schedule, p, t, machine);
    int64_t fill = 0, drain = 0, bytes = tw_dtype_bytes(p->dtype), alike = p->cu_seqlens_q ? 1 : p->batch;
    int64_t input_bytes = tw_dtype_bytes(tw_problem_input_dtype(p));
    for (int batch = 0; batch < p->batch; batch += (int)alike) {
        tw_problem sequence = tw_problem_sequence(p, batch);
        sequence.quantize.block_rows = t->block_m, sequence.quantize.block_keys = t->block_n;
        traffic one = {0};
        int heads = 0;
        TW_TRY(one_head(&one, &heads, schedule, &sequence, t, machine));
        if (sequence.seqlen_q == 0 && !is_backward(schedule))
            continue; /* no block runs */
        fill += alike * heads *
                (one.fill * bytes + one.fill_inputs * input_bytes + one.fill_stats * 4 + one.fill_bytes);
        drain += alike * heads * (one.drain * bytes + one.drain_stats * 4 + one.drain_bytes);
    }
    *fill_bytes = fill;
    *drain_bytes = drain;
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
