/**
 * @file extras.h
 * @brief What options ask for beyond plain attention: masks, changed scores, packed sequences, another V, dropout.
 *
 * Texts become the arrays that a tw_problem points to, read from files or generated for its lengths.
 */
#ifndef TW_EXTRAS_H
#define TW_EXTRAS_H

#include "../cpu_ref/problem.h"
#include "../cpu_ref/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/** The options' values; texts that are NULL and numbers that are 0 were not given. */
typedef struct tw_extras {
    char *window;      /**< "LEFT,RIGHT" */
    int prefix, sinks; /**< keys */
    char *documents;   /**< lengths, or a file with the number of each key's document */
    char *block_mask;  /**< as tw_parse_blocks() */
    char *block_size;  /**< as tw_parse_block_size() */
    char *cu_seqlens, *cu_seqlens_q, *cu_seqlens_k; /**< offsets, or a file of them */
    double softcap;
    bool alibi;
    char *bias;       /**< a file, or "random" */
    char *sink_logit; /**< a number for all heads, or a file */
    int head_dim_v;
    bool latent;
    double dropout;
    uint64_t dropout_seed; /**< TW_NO_DROPOUT_SEED: not given, 1 */
    int page_size;         /**< of K and V; 0: not paged */
    char *page_table;      /**< a file; NULL: shuffled */
} tw_extras;

#define TW_NO_DROPOUT_SEED UINT64_MAX

/** The arrays behind the pointers of one problem, or of several that are alike. */
typedef struct tw_attached {
    int users;
    int *documents, *cu_seqlens_q, *cu_seqlens_k;
    unsigned char *blocks;
    double *bias, *sink_logits;
    int *page_table;
} tw_attached;

/** Is anything asked for? */
bool tw_extras_given(const tw_extras *extras);

/** TW_OK; TW_EINVAL (options that cannot go together, or mean nothing by themselves). */
TW_MUST_CHECK tw_status tw_extras_check(const tw_extras *extras, bool causal);

/**
 * @brief Lengths of packed sequences: batch, seqlen_q, seqlen_k and the offsets of `problem` become those.
 * @param[in,out] attached  takes the offsets over
 * @return TW_OK, also without packed sequences; as tw_npy_read_integers(), tw_parse_numbers(); TW_EINVAL
 */
TW_MUST_CHECK tw_status tw_extras_lengths(tw_attached *attached, tw_problem *problem,
                                          const tw_extras *extras);

/**
 * @brief Everything else: what the problem lacks is filled in, for its lengths and heads.
 * @param[in,out] attached  takes the arrays over; lengths are there already
 * @param[in] with_values   false: only where and how large things are matters, so a bias is not read or made
 * @return TW_OK; TW_EFORMAT (a file of another shape); as tw_npy_read(), tw_parse_*(), tw_problem_check()
 */
TW_MUST_CHECK tw_status tw_extras_attach(tw_attached *attached, tw_problem *problem, const tw_extras *extras,
                                         uint64_t seed, bool with_values);

/** One user less; the last one's arrays are freed. NULL is fine. */
void tw_attached_release(tw_attached *attached);

/** Longest text that tw_extras_name() makes. */
#define TW_EXTRAS_NAME 256

/** "causal", "no mask", "window 1024,0; 4 sinks; soft cap 30": what a problem has, in words. */
void tw_extras_name(char text[TW_EXTRAS_NAME], const tw_problem *problem);

#ifdef __cplusplus
}
#endif

#endif
