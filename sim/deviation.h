/**
 * @file deviation.h
 * @brief What a number format costs: algorithms executed on random inputs, against attention in double precision.
 */
#ifndef TW_DEVIATION_H
#define TW_DEVIATION_H

#include "backend_numeric.h"

#ifdef __cplusplus
extern "C" {
#endif

/** What Q, K and V are drawn from. */
typedef enum tw_input_kind {
    TW_INPUT_OUTLIERS, /**< N(0, 1) + N(0, 100) · Bernoulli(0.001): FlashAttention 3, section 4.3 */
    TW_INPUT_NORMAL,   /**< N(0, 1) */
    TW_INPUT_UNIFORM   /**< U(−0.5, 0.5) */
} tw_input_kind;

/** The words of an option, in the order of the enum. */
#define TW_INPUT_CHOICES "outliers|normal|uniform"

/** n numbers of a distribution; element i depends on seed, stream and i alone. */
void tw_input_draw(double *x, size_t n, tw_input_kind kind, uint64_t seed, uint64_t stream);

/** One way to compute attention with fewer bits than double has. */
typedef struct tw_method {
    const char *name;            /**< "fp8, FlashAttention 3" */
    const tw_schedule *schedule; /**< what runs */
    tw_dtype dtype;              /**< of O, and of Q, K, V before they become codes */
    tw_quantize quantize;        /**< all 0: no codes */
    tw_sums sums;                /**< how products add up */
    int fraction_bits;           /**< as in tw_numeric_options */
    double printed;              /**< the root mean square error that a paper prints; 0: none */
    int block;                   /**< rows of its tiles, of queries and of keys; 0: 128 */
    int baseline; /**< number of the method in the list that this one is compared with; −1: none */
} tw_method;

/** The error of one O, beside attention in double of inputs that were never rounded. */
typedef struct tw_deviation {
    double rms;      /**< root mean square */
    double relative; /**< the sum of |errors| over the sum of |O| */
    double max;      /**< the largest */
    double rms_o;    /**< root mean square of O itself */
} tw_deviation;

/** Queries, keys and columns of one head, drawn anew for each seed. */
typedef struct tw_deviation_shape {
    int rows;            /**< queries: a sample, since they are alike */
    int seqlen_k;        /**< keys */
    int head_dim;        /**< columns */
    tw_input_kind input; /**< what they are drawn from */
} tw_deviation_shape;

/** Most methods of a list. */
#define TW_METHODS_MAX 16

/**
 * @brief Executes methods on the inputs of seeds first … first + count − 1, OpenMP over seeds.
 *
 * One head, no mask. Inputs are rounded to a method's dtype before anything else.
 * @param[out] found    [count][num_methods]
 * @param[in]  shape    of Q and of K, V
 * @param[in]  methods  num_methods of them, at most TW_METHODS_MAX
 * @param[in]  num_methods  likewise
 * @param[in]  first    seed
 * @param[in]  count    of seeds
 * @param[in]  machine  on which tiles fit
 * @return TW_OK; as tw_numeric_run(); TW_ENOMEM
 */
TW_MUST_CHECK tw_status tw_deviation_measure(tw_deviation *found, const tw_deviation_shape *shape,
                                             const tw_method *methods, int num_methods, uint64_t first,
                                             int count, const tw_machine *machine);

/** The value below which a share of the numbers lies, between two of them linearly; sorts x. */
double tw_quantile(double *x, int n, double share);

#ifdef __cplusplus
}
#endif

#endif
