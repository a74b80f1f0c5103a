/* A recorded walk as text. What the debugger prints (tests/gdb) has the same form, so that the two can be compared. */
#include "step_text.h"

#include "extras.h"
#include "schedules/registry.h"
#include "table.h"

#include <string.h>

const char *const tw_step_baseline_names[2] = {"standard", "standard_tiled"};

tw_step_number tw_step_format(double x)
{
    tw_step_number number;
    snprintf(number.text, sizeof number.text, "%.6g", x);
    return number;
}

tw_step_baselines tw_step_baselines_of(const tw_trace *t)
{
    static const tw_schedule *const schedules[2] = {&tw_schedule_standard, &tw_schedule_standard_tiled};
    tw_step_baselines baselines = {{false, false}, {{0}, {0}}};
    for (int i = 0; i < 2; i++) {
        tw_count_result result;
        bool backward = t->schedule->pass == TW_PASS_BACKWARD;
        const tw_schedule *schedule = backward ? tw_schedule_backward_of(schedules[i]) : schedules[i];
        baselines.known[i] = tw_count(&result, schedule, &t->problem, &t->tiling, &t->machine) == TW_OK;
        if (baselines.known[i])
            baselines.counts[i] = result.total;
    }
    return baselines;
}

void tw_step_setting(char text[TW_STEP_SETTING_BYTES], const tw_problem *p)
{
    char shared[64] = "";
    if (p->num_heads_kv != p->num_heads)
        snprintf(shared, sizeof shared, " on %d of K and V", p->num_heads_kv);
    char extras[TW_EXTRAS_NAME];
    tw_extras_name(extras, p);
    bool plain = strcmp(extras, "no mask") == 0;
    snprintf(text, TW_STEP_SETTING_BYTES,
             "seqlen %d x %d, head_dim %d, %d head%s%s, batch %d, %s, %s%ssoftmax_scale %s", p->seqlen_q,
             p->seqlen_k, p->head_dim, p->num_heads, p->num_heads == 1 ? "" : "s", shared, p->batch,
             tw_dtype_name(p->dtype), plain ? "" : extras, plain ? "" : ", ",
             tw_step_format(tw_problem_scale(p)).text);
}

/* The largest tile of the walk, and whether all are as large. */
static bool largest_tile(int *rows, int *cols, const tw_trace *t)
{
    bool alike = true, begun = false;
    *rows = *cols = 0;
    for (size_t i = 0; i < t->num_stops; i++) {
        const tw_trace_stop *stop = &t->stops[i];
        if (stop->tile == 0)
            continue;
        alike = alike && (!begun || (stop->rows.rows == *rows && stop->cols.rows == *cols));
        *rows = stop->rows.rows > *rows ? stop->rows.rows : *rows;
        *cols = stop->cols.rows > *cols ? stop->cols.rows : *cols;
        begun = true;
    }
    return alike;
}

void tw_step_tiles(char text[TW_STEP_TILES_BYTES], const tw_trace *t)
{
    tw_problem seen = tw_problem_seen_by(t->schedule, &t->problem);
    int rows, cols, block_m = t->tiling.block_m < seen.seqlen_q ? t->tiling.block_m : seen.seqlen_q;
    char note[64] = "";
    bool alike = largest_tile(&rows, &cols, t);
    if (t->schedule->ignores_sram)
        snprintf(note, sizeof note, ", whole matrices");
    else if (rows > 0 && rows < block_m)
        snprintf(note, sizeof note, ", shares of query tiles of %d rows", block_m);
    snprintf(text, TW_STEP_TILES_BYTES, "%s%d x %d%s", alike ? "" : "up to ", rows, cols, note);
}

void tw_step_packed_rows(char text[TW_STEP_ROWS_BYTES], const tw_trace *t)
{
    int together = tw_problem_seen_by(t->schedule, &t->problem).heads_in_rows;
    text[0] = '\0';
    if (together > 1)
        snprintf(text, TW_STEP_ROWS_BYTES,
                 "query heads are packed into rows: row r is query r / %d, rounded down, of head r %% %d of "
                 "the %d that share K and V",
                 together, together, together);
}

const char *tw_step_charge(const tw_machine *machine)
{
    return machine->kind == TW_MACHINE_PAPER
               ? "only Q, K, V and O take up SRAM, in the input's type, as in the papers"
               : "";
}

void tw_step_print_head(FILE *out, const tw_trace *t)
{
    char setting[TW_STEP_SETTING_BYTES];
    tw_step_setting(setting, &t->problem);
    fprintf(out, "%s on %s%s: %s\n", t->schedule->name, t->machine.name, tw_machine_caveat(&t->machine),
            setting);
    char tiles[TW_STEP_TILES_BYTES], rows[TW_STEP_ROWS_BYTES];
    tw_step_tiles(tiles, t);
    tw_step_packed_rows(rows, t);
    fprintf(out, "%lld tile%s of %s; scores: @ now, # done, . to come, - masked\n", (long long)t->num_tiles,
            t->num_tiles == 1 ? "" : "s", tiles);
    if (rows[0] != '\0')
        fprintf(out, "%s\n", rows);
}

/* ---- the grid of tiles ---------------------------------------------------------------------------------- */

enum { GRID_ROWS = 16, GRID_COLS = 32 };

/* The part of the grid that is shown: all of it, or what surrounds the current tile. */
typedef struct window {
    int64_t rows, cols; /* of the whole grid */
    int64_t row0, col0; /* first shown */
    int shown_rows, shown_cols;
    int block_m, block_n;
} window;

static int64_t begin_of_window(int64_t at, int64_t count, int shown)
{
    int64_t first = at - shown / 2;
    if (first > count - shown)
        first = count - shown;
    return first > 0 ? first : 0;
}

/* What the schedule sees: one sequence, with heads packed into rows if it does so. */
static tw_problem seen_at(const tw_trace *t, const tw_trace_stop *stop)
{
    tw_problem one = tw_problem_sequence(&t->problem, stop->batch);
    return tw_problem_seen_by(t->schedule, &one);
}

static window window_around(const tw_problem *p, const tw_trace_stop *stop)
{
    int bm = stop->rows.box_rows, bn = stop->cols.box_rows;
    window w = {.rows = (p->seqlen_q + bm - 1) / bm,
                .cols = (p->seqlen_k + bn - 1) / bn,
                .block_m = bm,
                .block_n = bn};
    w.shown_rows = w.rows < GRID_ROWS ? (int)w.rows : GRID_ROWS;
    w.shown_cols = w.cols < GRID_COLS ? (int)w.cols : GRID_COLS;
    w.row0 = begin_of_window(stop->rows.row0 / bm, w.rows, w.shown_rows);
    w.col0 = begin_of_window(stop->cols.row0 / bn, w.cols, w.shown_cols);
    return w;
}

static bool same_grid(const tw_trace_stop *a, const tw_trace_stop *b)
{
    return a->launch == b->launch && a->batch == b->batch && a->head == b->head;
}

static void put_tile(char grid[GRID_ROWS][GRID_COLS], const window *w, const tw_trace_stop *stop, char sign)
{
    int64_t i = stop->rows.row0 / w->block_m - w->row0, j = stop->cols.row0 / w->block_n - w->col0;
    if (stop->tile > 0 && i >= 0 && i < w->shown_rows && j >= 0 && j < w->shown_cols)
        grid[i][j] = sign;
}

static void put_unvisited(char grid[GRID_ROWS][GRID_COLS], const window *w, const tw_problem *p,
                          const tw_trace_stop *stop)
{
    for (int i = 0; i < w->shown_rows; i++)
        for (int j = 0; j < w->shown_cols; j++) {
            int64_t row0 = (w->row0 + i) * w->block_m, col0 = (w->col0 + j) * w->block_n;
            int64_t row1 = row0 + w->block_m < p->seqlen_q ? row0 + w->block_m : p->seqlen_q;
            int64_t col1 = col0 + w->block_n < p->seqlen_k ? col0 + w->block_n : p->seqlen_k;
            int64_t pairs = tw_mask_pairs(p, stop->batch, stop->head, row0, row1, col0, col1);
            grid[i][j] = pairs > 0 ? '.' : '-';
        }
}

/* The end of a block has no tile of its own: its grid is that of the last tile before it, or of the first behind. */
static size_t tile_beside(const tw_trace *t, size_t at)
{
    for (size_t i = at + 1; i-- > 0 && same_grid(&t->stops[i], &t->stops[at]);)
        if (t->stops[i].tile > 0)
            return i;
    for (size_t i = at; i < t->num_stops && same_grid(&t->stops[i], &t->stops[at]); i++)
        if (t->stops[i].tile > 0)
            return i;
    return at;
}

static void print_grid(FILE *out, const tw_trace *t, size_t at)
{
    char grid[GRID_ROWS][GRID_COLS];
    size_t shape = tile_beside(t, at);
    const tw_trace_stop *stop = &t->stops[shape];
    if (stop->tile == 0)
        return;
    tw_problem seen = seen_at(t, stop);
    window w = window_around(&seen, stop);
    put_unvisited(grid, &w, &seen, stop);
    for (size_t i = shape; i-- > 0 && same_grid(&t->stops[i], stop);)
        put_tile(grid, &w, &t->stops[i], '#');
    if (shape <= at)
        put_tile(grid, &w, stop, shape == at ? '@' : '#');
    for (int i = 0; i < w.shown_rows; i++) {
        fprintf(out, "  %-8s", i == 0 ? "scores" : "");
        for (int j = 0; j < w.shown_cols; j++)
            fprintf(out, " %c", grid[i][j]);
        fputc('\n', out);
    }
    if (w.shown_rows < w.rows || w.shown_cols < w.cols)
        fprintf(out, "           tiles %lld-%lld of %lld down, %lld-%lld of %lld across\n", (long long)w.row0,
                (long long)w.row0 + w.shown_rows - 1, (long long)w.rows, (long long)w.col0,
                (long long)w.col0 + w.shown_cols - 1, (long long)w.cols);
}

/* ---- what is on chip ------------------------------------------------------------------------------------ */

static const char *place_name(const tw_trace *t, tw_place place)
{
    if (t->machine.kind != TW_MACHINE_GPU)
        return "SRAM";
    return place == TW_PLACE_SMEM ? "shared memory" : "registers";
}

static void print_chip(FILE *out, const tw_trace *t, const tw_trace_chip *chip)
{
    fprintf(out, "  %-9s%-8s%-16s%14s  %-5s%12s\n", "on chip", "slot", "place", "rows x columns", "type",
            "bytes");
    for (size_t i = 0; i < chip->num_slots; i++) {
        const tw_trace_slot *slot = &t->slots[chip->first_slot + i];
        char shape[48];
        snprintf(shape, sizeof shape, "%d x %d", slot->info.rows.rows, slot->info.cols.rows);
        fprintf(out, "  %-9s%-8s%-16s%14s  %-5s%12lld\n", "", slot->name, place_name(t, slot->info.place),
                shape, tw_dtype_name(slot->info.dtype), (long long)slot->info.bytes);
    }
    int places = t->machine.kind == TW_MACHINE_GPU ? TW_NUM_PLACES : 1;
    for (int place = 0; place < places; place++) {
        char held[TW_CELL_BYTES], room[TW_CELL_BYTES];
        tw_format_number(held, (double)chip->live_bytes[place], 0);
        tw_format_number(
            room, place == TW_PLACE_SMEM ? t->machine.smem_bytes : t->machine.register_bytes_per_sm, 0);
        fprintf(out, "  %-9s%s: %s of %s bytes\n", "", place_name(t, (tw_place)place), held, room);
    }
    if (tw_step_charge(&t->machine)[0] != '\0')
        fprintf(out, "  %-9s%s\n", "", tw_step_charge(&t->machine));
}

/* ---- the row state -------------------------------------------------------------------------------------- */

enum { ROWS_SHOWN = 16 };

static void print_rows(FILE *out, const tw_trace *t, const tw_trace_stop *stop)
{
    if (stop->m == TW_TRACE_NONE && stop->l == TW_TRACE_NONE)
        return;
    fprintf(out, "  %-9s%-6s%12s%12s\n", "rows", "row", stop->m_is_lse ? "LSE" : "m", "l");
    for (int r = 0; r < stop->rows.rows && r < ROWS_SHOWN; r++) {
        const char *m = "-", *l = "-";
        tw_step_number m_number, l_number;
        if (stop->m != TW_TRACE_NONE)
            m_number = tw_step_format(t->numbers[stop->m + (size_t)r]), m = m_number.text;
        if (stop->l != TW_TRACE_NONE)
            l_number = tw_step_format(t->numbers[stop->l + (size_t)r]), l = l_number.text;
        fprintf(out, "  %-9s%-6lld%12s%12s\n", "", (long long)stop->rows.row0 + r, m, l);
    }
    if (stop->rows.rows > ROWS_SHOWN)
        fprintf(out, "  %-9sand %d rows more\n", "", stop->rows.rows - ROWS_SHOWN);
}

static void print_numbers(FILE *out, const tw_trace *t, const char *name, size_t first, int count)
{
    fprintf(out, " %s", name);
    for (int c = 0; c < count; c++)
        fprintf(out, " %s", tw_step_format(t->numbers[first + (size_t)c]).text);
}

/* "row 3: m 2, l 1.36788, O 1 0.367879, still to be divided by l": what tw-row prints in the debugger. */
static void print_row(FILE *out, const tw_trace *t, const tw_trace_stop *stop)
{
    bool backward = t->schedule->pass == TW_PASS_BACKWARD, of_dq = stop->o_tensor != TW_O;
    int width = of_dq ? t->problem.head_dim : tw_problem_head_dim_v(&t->problem);
    if (stop->of_keys)
        return;
    if (stop->o_row < 0) {
        fprintf(out, "  row %lld: not in this tile\n", (long long)t->row);
        return;
    }
    size_t r = (size_t)(stop->o_row - stop->rows.row0);
    const char *comma = "";
    fprintf(out, "  row %lld:", (long long)stop->o_row);
    if (stop->m != TW_TRACE_NONE)
        fprintf(out, " %s %s", stop->m_is_lse ? "LSE" : "m", tw_step_format(t->numbers[stop->m + r]).text),
            comma = ",";
    if (stop->l != TW_TRACE_NONE)
        fprintf(out, "%s l %s", comma, tw_step_format(t->numbers[stop->l + r]).text), comma = ",";
    if (stop->o != TW_TRACE_NONE) {
        fputs(comma, out);
        print_numbers(out, t, tw_tensor_name(stop->o_tensor), stop->o, width);
        if (!of_dq)
            fprintf(out, ", %s", stop->o_normalized ? "divided by l" : "still to be divided by l");
    }
    if (stop->m == TW_TRACE_NONE && stop->l == TW_TRACE_NONE && stop->o == TW_TRACE_NONE)
        fputs(backward ? " no dQ is on chip" : " neither m, l nor O is on chip", out);
    fputc('\n', out);
}

/* "key 3: dK 1 0.25, dV 0.5 2": what tw-row adds to it in a backward pass. */
static void print_key(FILE *out, const tw_trace *t, const tw_trace_stop *stop)
{
    if (stop->key < 0)
        return;
    fprintf(out, "  key %lld:%s", (long long)stop->key, stop->no_such_key ? " not in this tile" : "");
    if (stop->dk != TW_TRACE_NONE)
        print_numbers(out, t, "dK", stop->dk, t->problem.head_dim);
    if (stop->dk != TW_TRACE_NONE && stop->dv != TW_TRACE_NONE)
        fputc(',', out);
    if (stop->dv != TW_TRACE_NONE)
        print_numbers(out, t, "dV", stop->dv, tw_problem_head_dim_v(&t->problem));
    fputc('\n', out);
}

/* ---- bytes ---------------------------------------------------------------------------------------------- */

static void print_bytes_line(FILE *out, const char *level, int64_t so_far, const int64_t of_baseline[2],
                             const tw_step_baselines *b)
{
    char number[TW_CELL_BYTES];
    tw_format_number(number, (double)so_far, 0);
    fprintf(out, "  %-9s%-12s%16s", "", level, number);
    for (int i = 0; i < 2; i++) {
        if (b->known[i])
            tw_format_number(number, (double)of_baseline[i], 0);
        fprintf(out, "%18s", b->known[i] ? number : "-");
    }
    fputc('\n', out);
}

static void print_bytes(FILE *out, const tw_moved *moved, const tw_step_baselines *b)
{
    const tw_counts *s = b->counts;
    fprintf(out, "  %-9s%-12s%16s%18s%18s\n", "bytes", "", "so far", tw_step_baseline_names[0],
            tw_step_baseline_names[1]);
    print_bytes_line(out, "SRAM fill", moved->sram_fill_bytes,
                     (int64_t[]){s[0].sram_fill_bytes, s[1].sram_fill_bytes}, b);
    print_bytes_line(out, "SRAM drain", moved->sram_drain_bytes,
                     (int64_t[]){s[0].sram_drain_bytes, s[1].sram_drain_bytes}, b);
    print_bytes_line(out, "HBM read", moved->hbm_read_bytes,
                     (int64_t[]){s[0].hbm_read_bytes, s[1].hbm_read_bytes}, b);
    print_bytes_line(out, "HBM write", moved->hbm_write_bytes,
                     (int64_t[]){s[0].hbm_write_bytes, s[1].hbm_write_bytes}, b);
}

/* ---- a stop --------------------------------------------------------------------------------------------- */

static void print_title(FILE *out, const tw_trace *t, const tw_trace_stop *stop)
{
    const tw_tile *rows = &stop->rows, *cols = &stop->cols;
    if (stop->tile > 0)
        fprintf(out, "\ntile %lld of %lld: rows %lld-%lld, keys %lld-%lld", (long long)stop->tile,
                (long long)t->num_tiles, (long long)rows->row0, (long long)rows->row0 + rows->rows - 1,
                (long long)cols->row0, (long long)cols->row0 + cols->rows - 1);
    else
        fprintf(out, "\nend of the block of %s %lld-%lld", stop->of_keys ? "keys" : "rows",
                (long long)rows->row0, (long long)rows->row0 + rows->rows - 1);
    tw_problem seen = seen_at(t, stop);
    if (t->problem.batch > 1)
        fprintf(out, ", batch %d", stop->batch);
    if (seen.num_heads > 1)
        fprintf(out, ", %shead %d", seen.heads_in_rows > 1 ? "K/V " : "", stop->head);
    if (t->schedule->num_launches > 1)
        fprintf(out, ", launch %s", t->schedule->launches[stop->launch].name);
    fprintf(out, " (%s, lines %d-%d)\n", t->schedule->file, stop->first_line, stop->last_line);
}

void tw_step_print_stop(FILE *out, const tw_trace *t, size_t at, const tw_step_baselines *baselines)
{
    const tw_trace_stop *stop = &t->stops[at];
    print_title(out, t, stop);
    print_grid(out, t, at);
    print_chip(out, t, &stop->chip);
    print_rows(out, t, stop);
    print_row(out, t, stop);
    print_key(out, t, stop);
    print_bytes(out, &stop->chip.moved, baselines);
}
