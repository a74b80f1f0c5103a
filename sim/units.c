/* Tensors cut into units. One pass over the schedule tells how small its tiles are. */
#include "units.h"

#include "../cpu_ref/whole.h"
#include "splits.h"

#include <stdlib.h>

/*
 * A chunk of fewer bytes than this is made taller, where that keeps it within a tile. S and P, where they are many
 * times larger than the L2, stream through it: there four tiles are one, and the replay takes a third of the time.
 */
#define LEAST_CHUNK_BYTES  16384
#define STREAM_CHUNK_BYTES 65536
#define STREAM_TILES       4
#define STREAM_L2S         8
#define MOST_UNITS         (1 << 28)
#define FOREIGN_BYTES      4096

/* The smallest tile of each tensor over all launches; 0 where none touches it. */
typedef struct survey {
    int rows[TW_NUM_TENSORS], cols[TW_NUM_TENSORS];
    int launch;
    tw_launch_peaks *peaks;
} survey;

static int smaller(int found, int tile, int64_t length)
{
    int rows = tile < length ? tile : (int)length;
    return found == 0 || rows < found ? rows : found;
}

bool tw_units_ignore(tw_tensor tensor)
{
    return tensor == TW_TILE_LIST || tensor == TW_SINK || tensor == TW_PAGE_TABLE || tensor == TW_Q_SCALE ||
           tensor == TW_K_SCALE || tensor == TW_V_SCALE;
}

static tw_status survey_op(void *self, const tw_emitter *e, const tw_op *op)
{
    survey *s = self;
    tw_tensor tensor = tw_tensor_home(op->tensor, e->problem);
    if ((op->kind != TW_OP_LOAD && op->kind != TW_OP_STORE) || tw_units_ignore(tensor))
        return TW_OK;
    tw_tensor_shape shape = tw_tensor_shape_of(tensor, e->problem);
    s->rows[tensor] = smaller(s->rows[tensor], op->rows.box_rows, shape.rows);
    s->cols[tensor] = smaller(s->cols[tensor], op->cols.box_rows, shape.cols);
    return TW_OK;
}

static tw_status survey_block(void *self, const tw_emitter *e)
{
    survey *s = self;
    tw_launch_peaks *most = &s->peaks[s->launch];
    if (e->peak_bytes[TW_PLACE_SMEM] > most->smem_bytes)
        most->smem_bytes = e->peak_bytes[TW_PLACE_SMEM];
    if (e->peak_bytes[TW_PLACE_REGISTERS] > most->register_bytes)
        most->register_bytes = e->peak_bytes[TW_PLACE_REGISTERS];
    return TW_OK;
}

static tw_status survey_launch(void *self, const tw_emitter *e)
{
    (void)e;
    ((survey *)self)->launch++;
    return TW_OK;
}

static const tw_backend survey_backend = {
    .merges = true, .op = survey_op, .end_block = survey_block, .end_launch = survey_launch};

/* Rows of a chunk: whole tiles of the smallest kind, as many as make it large enough, within `tallest`. */
static int chunk_rows(int tile_rows, int64_t row_bytes, int tallest, int64_t least_bytes, int64_t length)
{
    int64_t rows = tile_rows;
    while (rows * row_bytes < least_bytes && rows + tile_rows <= tallest && rows < length)
        rows += tile_rows;
    return (int)(rows < length ? rows : length);
}

static bool streams(const tw_tensor_shape *shape, int element_bytes, int tile_cols, const tw_problem *p,
                    const tw_machine *machine)
{
    double bytes = (double)shape->rows * (double)shape->cols * shape->heads * p->batch * element_bytes;
    return tile_cols < shape->cols && bytes > STREAM_L2S * machine->l2_bytes;
}

static tw_tensor_units cut(const tw_tensor_shape *shape, int element_bytes, int tile_rows, int tile_cols,
                           const tw_problem *p, const tw_tiling *tiling, const tw_machine *machine, int sides)
{
    int tallest = tiling->block_m > tiling->block_n ? tiling->block_m : tiling->block_n;
    int64_t row_bytes = (int64_t)tile_cols * element_bytes;
    bool coarse = streams(shape, element_bytes, tile_cols, p, machine);
    tw_tensor_units t = {.heads = shape->heads, .cols = tile_cols};
    t.rows = chunk_rows(tile_rows, row_bytes, coarse ? STREAM_TILES * tallest : tallest,
                        coarse ? STREAM_CHUNK_BYTES : LEAST_CHUNK_BYTES, shape->rows);
    t.row_chunks = (int32_t)ceil_div(shape->rows, t.rows);
    t.col_chunks = (int32_t)ceil_div(shape->cols, t.cols);
    t.halves = sides == 2 && (double)(t.rows * row_bytes) >= 2 * machine->l2_page_bytes ? 2 : 1;
    return t;
}

/* Bytes of every unit of one head; a chunk of an odd number of bytes has a larger second half. */
static void fill_head(uint32_t *bytes, const tw_tensor_units *t, const tw_tensor_shape *shape,
                      int element_bytes)
{
    for (int64_t r = 0; r < t->row_chunks; r++) {
        int64_t rows = shape->rows - r * t->rows < t->rows ? shape->rows - r * t->rows : t->rows;
        for (int64_t c = 0; c < t->col_chunks; c++) {
            int64_t cols = shape->cols - c * t->cols < t->cols ? shape->cols - c * t->cols : t->cols;
            int64_t chunk = rows * cols * element_bytes;
            if (t->halves == 2)
                *bytes++ = (uint32_t)(chunk / 2);
            *bytes++ = (uint32_t)(chunk - chunk / 2 * (t->halves - 1));
        }
    }
}

static tw_status number(tw_units *u, const tw_problem *problem, const tw_machine *machine)
{
    double count = 0;
    for (int i = 0; i < TW_NUM_TENSORS; i++) {
        tw_tensor_units *t = &u->of[i];
        double per_head = (double)t->row_chunks * t->col_chunks * t->halves;
        double units = per_head * t->heads * problem->batch;
        if (count + units > MOST_UNITS)
            return tw_fail(TW_EOVERFLOW, "the tensors have more than %d units, too many to replay",
                           MOST_UNITS);
        t->first = (int32_t)count;
        t->per_head = (int32_t)per_head;
        count += units + ((int64_t)units & 1); /* the next tensor begins with an even number */
    }
    u->foreign_first = (int32_t)count;
    u->count = u->foreign_first + (int32_t)ceil_div((int64_t)machine->profiler_dirty_bytes, FOREIGN_BYTES);
    return TW_OK;
}

static tw_status fill(tw_units *u, const tw_problem *problem)
{
    u->bytes = malloc(((size_t)u->count + 1) * sizeof *u->bytes);
    if (!u->bytes)
        return tw_fail(TW_ENOMEM, "no memory for %d units", u->count);
    for (int32_t i = 0; i < u->count; i++)
        u->bytes[i] = i < u->foreign_first ? 1
                                           : FOREIGN_BYTES; /* 1: between two tensors, touched by nobody */
    for (int i = 0; i < TW_NUM_TENSORS; i++) {
        const tw_tensor_units *t = &u->of[i];
        tw_tensor_shape shape = tw_tensor_shape_of((tw_tensor)i, problem);
        for (int64_t head = 0; t->per_head > 0 && head < (int64_t)t->heads * problem->batch; head++)
            fill_head(u->bytes + t->first + head * t->per_head, t, &shape,
                      tw_tensor_element_bytes((tw_tensor)i, problem));
    }
    return TW_OK;
}

tw_status tw_units_create(tw_units *units, tw_launch_peaks peaks[TW_MAX_LAUNCHES],
                          const tw_schedule *schedule, const tw_problem *problem, const tw_tiling *tiling,
                          const tw_machine *machine, int sides)
{
    tw_launch_peaks found[TW_MAX_LAUNCHES] = {{0}};
    survey s = {.launch = 0, .peaks = found};
    tw_units u = {.count = 0};
    TW_TRY(tw_emit(schedule, problem, tiling, machine, &survey_backend, &s));
    tw_problem seen = tw_problem_split(schedule, problem, tiling, machine);
    problem = &seen;
    for (int i = 0; i < TW_NUM_TENSORS; i++) {
        tw_tensor_shape shape = tw_tensor_shape_of((tw_tensor)i, problem);
        if (s.rows[i] > 0)
            u.of[i] = cut(&shape, tw_tensor_element_bytes((tw_tensor)i, problem), s.rows[i], s.cols[i],
                          problem, tiling, machine, sides);
    }
    TW_TRY(number(&u, problem, machine));
    TW_TRY(fill(&u, problem));
    for (int i = 0; i < TW_MAX_LAUNCHES; i++)
        peaks[i] = found[i];
    *units = u;
    return TW_OK;
}

void tw_units_free(tw_units *units)
{
    free(units->bytes);
    *units = (tw_units){.count = 0};
}

tw_unit_run tw_units_chunks(int64_t row0, int64_t rows, int chunk)
{
    /* Less than a chunk touches it with its first row alone; more touches what it covers in part, too. */
    int64_t first = rows >= chunk ? row0 / chunk : ceil_div(row0, chunk);
    int64_t end = ceil_div(row0 + rows, chunk);
    return (tw_unit_run){.first = (int32_t)first, .count = (int32_t)(end - first)};
}
