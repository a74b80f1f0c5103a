/**
 * @file schedule_language.h
 * @brief Short names of the tile operations, for schedules alone: load(e, …) is tw_load(e, …), and so on.
 *
 * Each also records the source line, so that a step-through can show which line is running and a test can
 * delete one operation at a time. What the operations mean is said in tile_ops.h.
 */
#ifndef TW_SCHEDULE_LANGUAGE_H
#define TW_SCHEDULE_LANGUAGE_H

#include "../tile_ops.h"

/** The emitter, after it has noted the line. */
static inline tw_emitter *tw_at(tw_emitter *e, int line)
{
    e->line = line;
    return e;
}

/** @cond each is said in tile_ops.h */
#define load(e, tensor, b, rows)            tw_load(tw_at(e, __LINE__), tensor, b, rows)
#define load_part(e, tensor, b, rows, cols) tw_load_part(tw_at(e, __LINE__), tensor, b, rows, cols)
#define store(e, tensor, b, slot)           tw_store(tw_at(e, __LINE__), tensor, b, slot)
#define zeros(e, rows)                      tw_zeros(tw_at(e, __LINE__), rows)
#define row_stats(e, rows)                  tw_row_stats_init(tw_at(e, __LINE__), rows)
#define row_stats_of(e, m, l)               tw_row_stats_of(tw_at(e, __LINE__), m, l)
#define matmul_nt(e, q, k)                  tw_matmul_nt(tw_at(e, __LINE__), q, k)
#define matmul_add(e, o, p, v)              tw_matmul_add(tw_at(e, __LINE__), o, p, v)
#define score_mod(e, s)                     tw_score_mod(tw_at(e, __LINE__), s)
#define mask(e, s)                          tw_mask(tw_at(e, __LINE__), s)
#define softmax(e, s, st)                   tw_softmax(tw_at(e, __LINE__), s, st)
#define online_softmax(e, s, st)            tw_online_softmax(tw_at(e, __LINE__), s, st)
#define online_softmax_normalized(e, s, st) tw_online_softmax_normalized(tw_at(e, __LINE__), s, st)
#define row_stats_step(e, s, st)            tw_row_stats_step(tw_at(e, __LINE__), s, st)
#define softmax_apply(e, s, st)             tw_softmax_apply(tw_at(e, __LINE__), s, st)
#define rescale(e, o, st)                   tw_rescale(tw_at(e, __LINE__), o, st)
#define convert_for_unit(e, p)              tw_convert_for_unit(tw_at(e, __LINE__), p)
#define convert_to_codes(e, p)              tw_convert_to_codes(tw_at(e, __LINE__), p)
#define normalize(e, o, st)                 tw_normalize(tw_at(e, __LINE__), o, st)
#define lse(e, st)                          tw_lse(tw_at(e, __LINE__), st)
#define release(e, slot)                    tw_release(tw_at(e, __LINE__), slot)
#define release_stats(e, st)                tw_release_stats(tw_at(e, __LINE__), st)
/** @endcond */

/** @cond gradients and dropout */
#define zeros_of(e, tensor, rows)      tw_zeros_of(tw_at(e, __LINE__), tensor, rows)
#define matmul_tn_add(e, sum, a, b)    tw_matmul_tn_add(tw_at(e, __LINE__), sum, a, b)
#define softmax_from_lse(e, s, lse)    tw_softmax_from_lse(tw_at(e, __LINE__), s, lse)
#define row_dot(e, d, a, b)            tw_row_dot(tw_at(e, __LINE__), d, a, b)
#define dsoftmax(e, dp, p, d)          tw_dsoftmax(tw_at(e, __LINE__), dp, p, d)
#define convert_sum(e, dq_sum)         tw_convert_sum(tw_at(e, __LINE__), dq_sum)
#define atomic_add(e, tensor, b, slot) tw_atomic_add(tw_at(e, __LINE__), tensor, b, slot)
#define dropout(e, p)                  tw_drop(tw_at(e, __LINE__), p)
#define dropout_mask(e, rows, cols)    tw_drop_mask(tw_at(e, __LINE__), rows, cols)
#define dropout_by(e, p, z)            tw_drop_by(tw_at(e, __LINE__), p, z)
/** @endcond */

/** @cond parts of the keys, and a fixed maximum */
#define row_stats_of_part(e, rows)          tw_row_stats_of_part(tw_at(e, __LINE__), rows)
#define store_part(e, tensor, b, slot)      tw_store_part(tw_at(e, __LINE__), tensor, b, slot)
#define take_parts(e, b, first, end, o, st) tw_take_parts(tw_at(e, __LINE__), b, first, end, o, st)
#define fix_max(e, st)                      tw_fix_max(tw_at(e, __LINE__), st)
#define fixed_softmax(e, s, st)             tw_fixed_softmax(tw_at(e, __LINE__), s, st)
#define left_range(e, o, st)                tw_left_range(tw_at(e, __LINE__), o, st)
/** @endcond */

/** @cond each is said in tile_ops.h */
/* Tiles along head_dim, and FlashAttention 4's softmax. */
#define zeros_part(e, tensor, rows, cols) tw_zeros_part(tw_at(e, __LINE__), tensor, rows, cols)
#define matmul_nt_add(e, s, q, k)         tw_matmul_nt_add(tw_at(e, __LINE__), s, q, k)
#define online_softmax_lazy(e, s, st)     tw_online_softmax_lazy(tw_at(e, __LINE__), s, st)
#define rescale_lazy(e, o, st)            tw_rescale_lazy(tw_at(e, __LINE__), o, st)
#define mask_by_index(e, s, q, k)         tw_mask_by_index(tw_at(e, __LINE__), s, q, k)
/** @endcond */

/** @cond each is said in tile_ops.h */
/* Turns of agents. */
#define give_turn(e, turn) tw_give_turn(tw_at(e, __LINE__), turn)
#define take_turn(e, turn) tw_take_turn(tw_at(e, __LINE__), turn)
/** @endcond */

#endif
