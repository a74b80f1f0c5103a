/* What tiled.c and its inner kernels agree on. Private to the reference library.
 *
 * tiled_kernel.c is compiled once for each instruction set, under another name each time; tiled.c picks one when
 * the program runs. The unit of work is one panel of queries, as many as a few vector registers hold, against one
 * tile of keys. Everything of a panel is transposed, so that a query is a vector lane:
 *
 *       q  [head_dim][lanes]          s  [n][lanes]            o  [padded_dim][lanes]
 *
 *          query 0 1 2 …                query 0 1 2 …             query 0 1 2 …
 *     c 0  | . . . . |           key 0  | . . . . |         c 0   | . . . . |
 *     c 1  | . . . . |           key 1  | . . . . |         c 1   | . . . . |
 *
 * The maximum, the sum and the rescaling of each query are then plain vector operations, both products read their
 * right operand (q, then s) in the layout that they need, and K and V are read as they are, a number at a time,
 * broadcast to all lanes. */
#ifndef TW_TILED_KERNEL_H
#define TW_TILED_KERNEL_H

#include "attention.h"

/* One panel and one tile of keys. */
typedef struct tw_panel {
    int head_dim;             /* of Q and K */
    int padded_dim;           /* of V and O, a multiple of the kernel's block_rows */
    int first_key, n;         /* the tile: keys first_key … first_key + n − 1 */
    const float *k;           /* [n, rounded up to block_rows][head_dim]; rows past n hold any numbers */
    const float *v;           /* [n][padded_dim], zero from V's columns on */
    const float *q;           /* [head_dim][lanes], times the sign of softmax_scale */
    const int32_t *keys_seen; /* [lanes]: query i sees keys below keys_seen[i] */
    int fewest_keys_seen;     /* min of the above */
    float exponent_scale;     /* |softmax_scale| · log2 e: weights are 2^((s − m) · exponent_scale) */
    float *s;                 /* [n, rounded up to block_rows][lanes], scratch: scores, then weights */
    float *m, *l;             /* [lanes]: maximum of the unscaled scores, sum of the weights */
    float *o;                 /* [padded_dim][lanes], not yet divided by l */
    const float *z;           /* [n][lanes]: dropout's factors of the weights; NULL: none */
    /* Changes and hides scores in s in place of keys_seen; NULL where keys_seen says all */
    void (*edit)(const struct tw_panel *panel, const void *context);
    const void *context;
} tw_panel;

typedef struct tw_tiled_kernel {
    const char *isa;
    int lanes;      /* queries of a panel */
    int block_rows; /* rows of K, or columns of V, that one register block takes */
    /* Folds the tile into m, l and o: one step of online_softmax.h for every lane. */
    void (*fold_tile)(const tw_panel *panel);
    /* Its first two steps alone: s = K q, as far as keys_seen allows; then weights in place of scores, m and l. */
    void (*scores)(const tw_panel *panel);
    void (*softmax)(const tw_panel *panel);
    /* One panel of C += Aᵀ B: c[i][lane] += Σ_k a[k][i] · b[k][lane]. A has `rows` columns, a multiple of block_rows. */
    void (*accumulate)(float *c, const float *a, const float *b, int rows, int depth);
    /* y = 2^x for x <= 0; n is a multiple of lanes; y may be x. */
    void (*exp2)(float *y, const float *x, int n);
} tw_tiled_kernel;

extern const tw_tiled_kernel tw_tiled_kernel_baseline;
#if defined(__x86_64__)
extern const tw_tiled_kernel tw_tiled_kernel_avx2;
extern const tw_tiled_kernel tw_tiled_kernel_avx512;
#endif

/* The kernels that this CPU can run, best first. Returns how many. */
int tw_tiled_kernels(const tw_tiled_kernel *kernels[3]);

/* tw_attention_tiled() with a kernel of the caller's choice. */
TW_MUST_CHECK tw_status tw_attention_tiled_by(const tw_tiled_kernel *kernel, float *o, float *lse,
                                              const tw_problem *problem, const float *q, const float *k,
                                              const float *v, int block_m, int block_n);

/* tw_attention_backward_tiled() likewise. */
TW_MUST_CHECK tw_status tw_attention_backward_tiled_by(const tw_tiled_kernel *kernel,
                                                       const tw_backward_tensors *tensors,
                                                       const tw_problem *problem, int block_m, int block_n);

#endif
