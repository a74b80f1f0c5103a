/**
 * @file tensors.h
 * @brief Q, K, V, O, LSE and gradients of files or of a random generator, in the layouts of problem.h, shapes checked.
 */
#ifndef TW_TENSORS_H
#define TW_TENSORS_H

#include "../cpu_ref/attention.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Order of the axes in a file. */
typedef enum tw_layout {
    TW_LAYOUT_BSHD = 0, /**< [batch, seqlen, heads, head_dim] */
    TW_LAYOUT_BHSD = 1  /**< [batch, heads, seqlen, head_dim] */
} tw_layout;

/** The words of an option, in the order of the enum. */
#define TW_LAYOUT_CHOICES "bshd|bhsd"

/** "bshd", "bhsd". */
const char *tw_layout_name(tw_layout layout);

/** The inputs of an attention; tensors are owned, in the layouts of problem.h. */
typedef struct tw_inputs {
    tw_problem problem; /**< dtype is the coarsest of the three */
    double *q, *k;
    double *v; /**< k where V is a part of it */
} tw_inputs;

/** How Q, K and V lie in their files. */
typedef struct tw_reading {
    tw_layout layout;
    bool latent;    /**< V is the first columns of K and has no file; or, with head_dim_v, so many */
    int head_dim_v; /**< of a latent V; 0 for all of K's columns */
    tw_dtype codes; /**< a format of codes that the files hold, as bytes; otherwise they hold numbers */
    /** Packed sequences, whose tensors have three axes: batch, seqlen_q, seqlen_k and offsets of the problem; NULL
     *  without */
    const tw_problem *packed;
} tw_reading;

/**
 * @brief Reads Q, K and V; the shape is theirs, grouped heads and the width of V included. What files do not say
 *        (causal, masks, softmax_scale) stays 0.
 * @param[out] inputs  untouched on error
 * @param[in]  v_path  NULL where V is a part of K
 * @return TW_OK; TW_EFORMAT (not four axes, or three where sequences are packed; shapes that do not belong together;
 *         the line says if the other layout would fit); TW_EINVAL, TW_EOVERFLOW as tw_problem_check(); as tw_npy_read()
 */
TW_MUST_CHECK tw_status tw_inputs_read(tw_inputs *inputs, const char *q_path, const char *k_path,
                                       const char *v_path, const tw_reading *how);

/**
 * @brief Standard-normal Q, K and V, rounded to problem->dtype; streams 0, 1, 2 of the seed. V may be K.
 * @return TW_OK; TW_ENOMEM
 */
TW_MUST_CHECK tw_status tw_inputs_random(tw_inputs *inputs, const tw_problem *problem, uint64_t seed);

/**
 * @brief What codes of these inputs are worth (quantized.h), as inputs.
 * @param[in] problem  its `quantize` is on, and its blocks have sizes
 * @return as tw_quantize_inputs()
 */
TW_MUST_CHECK tw_status tw_inputs_of_codes(tw_inputs *worth, const tw_problem *problem, const tw_inputs *in);

/**
 * @brief A standard-normal dO, rounded to problem->dtype; stream 3 of the seed.
 * @param[out] d_o  owned by the caller: free(); untouched on error
 * @return TW_OK; TW_ENOMEM
 */
TW_MUST_CHECK tw_status tw_gradient_random(double **d_o, const tw_problem *problem, uint64_t seed);

/** Frees the tensors and clears the struct. */
void tw_inputs_free(tw_inputs *inputs);

/**
 * @brief Reads O: Q's shape with V's columns.
 * @param[out] o      owned by the caller: free(); untouched on error
 * @param[out] dtype  of the file
 * @return TW_OK; TW_EFORMAT (another shape); as tw_npy_read()
 */
TW_MUST_CHECK tw_status tw_output_read(double **o, tw_dtype *dtype, const char *path,
                                       const tw_problem *problem, tw_layout layout);

/** Reads LSE [batch, num_heads, seqlen_q], packed [num_heads, total_q]; as tw_output_read(). */
TW_MUST_CHECK tw_status tw_lse_read(double **lse, tw_dtype *dtype, const char *path,
                                    const tw_problem *problem);

/** Whose shape a gradient has. */
typedef enum tw_like { TW_LIKE_Q, TW_LIKE_K, TW_LIKE_V, TW_LIKE_O } tw_like;

/** Reads a gradient; as tw_output_read(). */
TW_MUST_CHECK tw_status tw_gradient_read(double **x, tw_dtype *dtype, const char *path,
                                         const tw_problem *problem, tw_like like, tw_layout layout);

/** Writes a gradient; as tw_output_write(). */
TW_MUST_CHECK tw_status tw_gradient_write(tw_npy_set *files, const char *path, const double *x,
                                          const tw_problem *problem, tw_like like, tw_layout layout);

/** Writes O in a layout, rounded to problem->dtype, as one of several files; as tw_npy_add(), or TW_ENOMEM. */
TW_MUST_CHECK tw_status tw_output_write(tw_npy_set *files, const char *path, const double *o,
                                        const tw_problem *problem, tw_layout layout);

/** Writes LSE as float32; as tw_npy_add(). */
TW_MUST_CHECK tw_status tw_lse_write(tw_npy_set *files, const char *path, const double *lse,
                                     const tw_problem *problem);

/** x [batch, n1, n2, head_dim] as a new [batch, n2, n1, head_dim]; NULL without memory. */
double *tw_swap_axes(const double *x, int batch, int n1, int n2, int head_dim);

/** The coarser of two number formats: bf16, fp16, fp32, fp64. */
tw_dtype tw_coarser(tw_dtype a, tw_dtype b);

#ifdef __cplusplus
}
#endif

#endif
