/*
 * Lab 2: counting. You write the functions below, in counts.c.
 *
 * All are for one head of one batch element. n is the sequence length of queries and of keys, d is head_dim, block_m and
 * block_n are the rows of a query tile and of a key tile; tiles need not divide n, and the last one counts its real rows.
 * An element is an element, whatever its type; a row statistic (m, l, LSE) is one. n is at most 32,768, and nothing is
 * below 1.
 */
#ifndef LAB2_H
#define LAB2_H

#include <stdint.h>

/* Elements in and out, without a mask: the two ledgers of standard attention, and the two FlashAttentions. */
int64_t standard_elements(int64_t n, int64_t d);
int64_t standard_tiled_elements(int64_t n, int64_t d, int64_t block_m, int64_t block_n);
int64_t flash1_elements(int64_t n, int64_t d, int64_t block_n);
int64_t flash2_elements(int64_t n, int64_t d, int64_t block_m);

/*
 * FlashAttention 2 with a causal mask: query i sees keys 0 … i. A key tile of which no row of the query tile sees anything
 * is not loaded; any other is loaded whole, up to key n - 1.
 */
int64_t flash2_causal_elements(int64_t n, int64_t d, int64_t block_m, int64_t block_n);

/* FlashAttention 2 in bytes: Q, K, V and O have element_bytes, LSE has 4. */
int64_t flash2_bytes(int64_t n, int64_t d, int64_t block_m, int64_t element_bytes);

/* FlashAttention's rule: the largest block_n for which four tiles of block_n x d fit. 0 if not even one row does. */
int64_t flash1_block_n(int64_t sram_bytes, int64_t d, int64_t element_bytes);

/* The largest block_m for which the tiles of Q and O (block_m rows) and of K and V (block_n rows) fit together; 0 if none. */
int64_t flash2_block_m(int64_t sram_bytes, int64_t d, int64_t element_bytes, int64_t block_n);

/*
 * The smallest SRAM, in bytes and a multiple of 4 d element_bytes, with which FlashAttention by its own rule for block_n
 * moves fewer elements than standard_elements(); block_n is at most n; 0 if there is none.
 */
int64_t crossover_sram_bytes(int64_t n, int64_t d, int64_t element_bytes);

#endif
