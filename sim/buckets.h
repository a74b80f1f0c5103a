/**
 * @file buckets.h
 * @brief Buckets of queries and keys, as hashes give them, and the order that sorts them.
 */
#ifndef TW_BUCKETS_H
#define TW_BUCKETS_H

#include "../cpu_ref/problem.h"

#ifdef __cplusplus
extern "C" {
#endif

/** The arrays behind tw_masks.buckets_q and its like; owned. */
typedef struct tw_buckets {
    int *bucket_q, *bucket_k; /**< of each row, −1: dropped */
    int *sorted_q, *sorted_k; /**< rows by bucket, those of a bucket in their own order, dropped ones last */
} tw_buckets;

/**
 * @brief Draws a bucket from 0 to `count` − 1 for every query and key, keeps a share of them, and sorts both.
 *
 * Nothing is hashed: where there are no tensors there is nothing to hash. Streams 4 to 7 of the seed.
 * @param[out] buckets  untouched on error
 * @param[in]  keep     share of queries, and of keys, that are not dropped; 1: all
 * @return TW_OK; TW_ENOMEM
 */
TW_MUST_CHECK tw_status tw_buckets_make(tw_buckets *buckets, const tw_problem *problem, int count,
                                        double keep, uint64_t seed);

/** The problem with these buckets. */
void tw_buckets_attach(tw_problem *problem, const tw_buckets *buckets);

/** Frees all. */
void tw_buckets_free(tw_buckets *buckets);

#ifdef __cplusplus
}
#endif

#endif
