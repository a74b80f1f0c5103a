/* What io says of masks and of packed sequences. */
#include "io_masks.h"

#include "table.h"

#include <stdlib.h>
#include <string.h>

/* ---- masks ---------------------------------------------------------------------------------------------- */

/* More than causal, which every reader can picture. */
static bool has_tiles_to_tell(const tw_problem *p)
{
    tw_problem without = *p;
    without.causal = false;
    return tw_mask_is_on(&without) || p->mask.prefix > 0;
}

enum { COL_LENGTH, COL_ALGORITHM, COL_TILES, COL_ALL, COL_VISITED, COL_SHARE, COL_CUT, COL_PAIRS, COL_LIST };

static tw_table mask_table(void)
{
    tw_table t = {.num_columns = 0};
    tw_table_column(&t, "seqlen", "", false);
    tw_table_column(&t, "algorithm", "", true);
    tw_table_column(&t, "tiles", "m x n", false);
    tw_table_column(&t, "tiles", "a head", false);
    tw_table_column(&t, "visited", "", false);
    tw_table_column(&t, "", "%", false);
    tw_table_column(&t, "partial", "", false);
    tw_table_column(&t, "pairs kept", "%", false);
    tw_table_column(&t, "tile list", "bytes", false);
    return t;
}

/* Adds up over sequences of different lengths; matrices that are alike count once. */
static tw_status census_of(tw_tile_census *sum, int64_t *matrices, double *pairs, const tw_case *c)
{
    const tw_problem *p = &c->problem;
    int batches = tw_mask_differs_by_batch(p) ? p->batch : 1;
    *sum = (tw_tile_census){.empty = 0};
    *matrices = 0;
    *pairs = 0.0;
    for (int b = 0; b < batches; b++) {
        tw_problem one = tw_problem_sequence(p, b), view = tw_problem_seen_by(c->schedule, &one);
        tw_tile_map map;
        TW_TRY(tw_tile_map_build(&map, &view, b, c->tiling.block_m, c->tiling.block_n));
        tw_tile_census here = tw_tile_map_census(&map);
        *matrices += map.matrices;
        *pairs += (double)map.matrices * view.seqlen_q * view.seqlen_k;
        sum->empty += here.empty;
        sum->partial += here.partial;
        sum->full += here.full;
        sum->pairs += here.pairs;
        sum->list_bytes += here.list_bytes;
        tw_tile_map_free(&map);
    }
    return TW_OK;
}

static tw_status add_census(tw_table *t, const tw_counted *counted)
{
    const tw_case *c = &counted->c;
    tw_tile_census n;
    int64_t matrices;
    double pairs;
    TW_TRY(census_of(&n, &matrices, &pairs, c));
    double all = (double)(n.empty + n.partial + n.full), visited = (double)(n.partial + n.full);
    bool listed = tw_mask_is_listed(&c->problem) || c->schedule->lists_tiles;
    tw_table_row(t);
    tw_table_cell(t, COL_LENGTH, "%d x %d", c->problem.seqlen_q, c->problem.seqlen_k);
    tw_table_cell(t, COL_ALGORITHM, "%s", c->schedule->name);
    tw_table_cell(t, COL_TILES, "%d x %d", c->tiling.block_m, c->tiling.block_n);
    tw_table_number(t, COL_ALL, all / (double)matrices, 0);
    tw_table_number(t, COL_VISITED, visited / (double)matrices, 0);
    tw_table_cell(t, COL_SHARE, "%.2f", 100.0 * visited / all);
    tw_table_number(t, COL_CUT, (double)n.partial / (double)matrices, 0);
    tw_table_cell(t, COL_PAIRS, "%.2f", 100.0 * (double)n.pairs / pairs);
    if (listed)
        tw_table_number(t, COL_LIST, (double)n.list_bytes, 0);
    else
        tw_table_cell(t, COL_LIST, "none");
    return TW_OK;
}

/* Asking every tile takes time and memory: not for a million tokens. */
static bool few_enough(const tw_case *c)
{
    const tw_problem *p = &c->problem;
    double tiles = ((double)p->seqlen_q / c->tiling.block_m + 1) *
                   ((double)p->seqlen_k / c->tiling.block_n + 1);
    return tiles * (tw_mask_differs_by_head(p) ? p->num_heads : 1) <= 0x1p24;
}

tw_status tw_io_masks_print(FILE *out, const tw_counted *cases, size_t count)
{
    tw_table t = mask_table();
    for (size_t i = 0; i < count; i++) {
        bool tiled = strncmp(cases[i].c.schedule->name, "standard", 8) != 0;
        if (!tiled || !has_tiles_to_tell(&cases[i].c.problem) || !few_enough(&cases[i].c))
            continue;
        tw_status status = add_census(&t, &cases[i]);
        if (status != TW_OK) {
            free(t.cells);
            return status;
        }
    }
    if (t.num_rows == 0)
        return TW_OK;
    fprintf(out,
            "\nTiles under the mask: what is not visited is neither loaded nor computed; partial tiles are "
            "masked, full ones are not\n\n");
    return tw_table_print(&t, out);
}

/* ---- packed sequences ----------------------------------------------------------------------------------- */

static double tensor_bytes(const tw_problem *p)
{
    double v = p->v_in_k ? 0.0 : (double)tw_problem_v_elements(p);
    return ((double)tw_problem_q_elements(p) + (double)tw_problem_k_elements(p) + v +
            (double)tw_problem_o_elements(p)) *
           tw_dtype_bytes(p->dtype);
}

tw_status tw_io_packing_print(FILE *out, const tw_counted *cases, size_t count, const tw_machine *machine)
{
    const tw_problem *p = &cases[0].c.problem;
    tw_table t = {.num_columns = 0};
    if (!p->cu_seqlens_q)
        return TW_OK;
    tw_problem padded = *p;
    padded.cu_seqlens_q = padded.cu_seqlens_k = NULL;
    int name = tw_table_column(&t, "algorithm", "", true),
        packed_mb = tw_table_column(&t, "packed", "MB", false);
    int padded_mb = tw_table_column(&t, "padded", "MB", false), ratio = tw_table_column(&t, "", "", false);
    for (size_t i = 0; i < count; i++) {
        tw_count_result result;
        tw_status status = tw_count(&result, cases[i].c.schedule, &padded, &cases[i].c.tiling, machine);
        if (status != TW_OK) {
            free(t.cells);
            return status;
        }
        const tw_counts *now = &cases[i].result.total;
        double moved = (double)now->sram_fill_bytes + (double)now->sram_drain_bytes;
        double would = (double)result.total.sram_fill_bytes + (double)result.total.sram_drain_bytes;
        tw_table_row(&t);
        tw_table_cell(&t, name, "%s", cases[i].c.schedule->name);
        tw_table_number(&t, packed_mb, moved / 1e6, 3);
        tw_table_number(&t, padded_mb, would / 1e6, 3);
        tw_table_cell(&t, ratio, "%.2fx", would / moved);
    }
    fprintf(out,
            "\nPacked against padded: %d sequences of %lld queries in all instead of %lld, %lld keys instead "
            "of %lld\n"
            "Q, K, V and O take %.3f MB packed and %.3f MB padded, %.2fx; SRAM fill + drain:\n\n",
            p->batch, (long long)tw_problem_total_q(p), (long long)tw_problem_total_q(&padded),
            (long long)tw_problem_total_k(p), (long long)tw_problem_total_k(&padded), tensor_bytes(p) / 1e6,
            tensor_bytes(&padded) / 1e6, tensor_bytes(&padded) / tensor_bytes(p));
    return tw_table_print(&t, out);
}
