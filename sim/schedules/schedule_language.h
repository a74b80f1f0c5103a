/**
 * @file schedule_language.h
 * @brief Short names of the tile operations, for schedules alone.
 *
 * Each also records the source line, so that a step-through can show which line is running and a test can
 * delete one operation at a time. What the operations mean is said in tile_ops.h.
 */
#ifndef TW_SCHEDULE_LANGUAGE_H
#define TW_SCHEDULE_LANGUAGE_H

#include "../tile_ops.h"

#define TW_AT(e, call) ((e)->line = __LINE__, call)

#define load(e, tensor, b, rows)            TW_AT(e, tw_load(e, tensor, b, rows))
#define load_part(e, tensor, b, rows, cols) TW_AT(e, tw_load_part(e, tensor, b, rows, cols))
#define store(e, tensor, b, slot)           TW_AT(e, tw_store(e, tensor, b, slot))
#define zeros(e, rows)                      TW_AT(e, tw_zeros(e, rows))
#define row_stats(e, rows)                  TW_AT(e, tw_row_stats_init(e, rows))
#define row_stats_of(e, m, l)               TW_AT(e, tw_row_stats_of(e, m, l))
#define matmul_nt(e, q, k)                  TW_AT(e, tw_matmul_nt(e, q, k))
#define matmul_add(e, o, p, v)              TW_AT(e, tw_matmul_add(e, o, p, v))
#define mask(e, s)                          TW_AT(e, tw_mask(e, s))
#define softmax(e, s, st)                   TW_AT(e, tw_softmax(e, s, st))
#define online_softmax(e, s, st)            TW_AT(e, tw_online_softmax(e, s, st))
#define online_softmax_normalized(e, s, st) TW_AT(e, tw_online_softmax_normalized(e, s, st))
#define row_stats_step(e, s, st)            TW_AT(e, tw_row_stats_step(e, s, st))
#define softmax_apply(e, s, st)             TW_AT(e, tw_softmax_apply(e, s, st))
#define rescale(e, o, st)                   TW_AT(e, tw_rescale(e, o, st))
#define convert_for_unit(e, p)              TW_AT(e, tw_convert_for_unit(e, p))
#define normalize(e, o, st)                 TW_AT(e, tw_normalize(e, o, st))
#define lse(e, st)                          TW_AT(e, tw_lse(e, st))
#define release(e, slot)                    TW_AT(e, tw_release(e, slot))
#define release_stats(e, st)                TW_AT(e, tw_release_stats(e, st))

#endif
