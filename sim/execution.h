/**
 * @file execution.h
 * @brief One case of `tilewise run`: executed, judged, and a row of a table.
 */
#ifndef TW_EXECUTION_H
#define TW_EXECUTION_H

#include "backend_numeric.h"
#include "options.h"
#include "table.h"
#include "tensors.h"
#include "verify.h"
#include "verify_gradients.h"

#ifdef __cplusplus
extern "C" {
#endif

/** A pass as it was executed and counted. */
typedef struct tw_executed_pass {
    bool judged; /**< it was asked for: a forward pass also goes before a backward one that is wanted alone */
    const tw_schedule *schedule;
    tw_tiling tiling;
    tw_numeric_stats stats;
    tw_counts counts;
} tw_executed_pass;

/** What came out, and how it was judged. */
typedef struct tw_execution {
    double *o, *lse, *gradient[TW_NUM_GRADIENTS]; /**< owned */
    tw_executed_pass forward, backward;
    tw_verdict verdict; /**< of the forward pass, if it is judged */
    /** Of an algorithm that approximates: how far it is from its own definition, and may be. */
    double reference_error, reference_allowed;
    tw_gradients_verdict gradients; /**< of the backward pass, likewise */
    tw_verdict before_codes; /**< of O, by what Q, K and V were before they became codes, if they did */
} tw_execution;

/** How to execute. */
typedef struct tw_execution_options {
    bool exact;        /**< double precision throughout */
    tw_sums sums;      /**< how products add up otherwise */
    bool inputs_there; /**< Q, K, V (and dO) take memory already */
    uint64_t seed;
} tw_execution_options;

/**
 * @brief Counts what a case asks for, and sees to it that there is memory for executing it; before there are tensors.
 * @param[out] execution  begun; tw_execution_free() it, also on error
 * @return TW_OK; as tw_count(); TW_ENOMEM
 */
TW_MUST_CHECK tw_status tw_execution_begin(tw_execution *execution, const tw_case *c,
                                           const tw_machine *machine, const tw_execution_options *options);

/**
 * @brief Executes and judges what was begun.
 * @param[in] d_o  NULL where there is no backward pass
 * @return TW_OK, whatever the verdicts; as tw_numeric_run(), tw_verify(), tw_verify_gradients()
 */
TW_MUST_CHECK tw_status tw_execution_run(tw_execution *execution, const tw_case *c, const tw_machine *machine,
                                         const tw_inputs *in, const double *d_o,
                                         const tw_execution_options *options);

void tw_execution_free(tw_execution *execution);

/** Room for tw_execution_note(). */
#define TW_EXECUTION_NOTE 320

/** What is to be said of a case beneath the table; false, and an empty text, if nothing. */
bool tw_execution_note(char text[TW_EXECUTION_NOTE], const tw_execution *execution);

/** Is everything that was judged right, its bytes included? An approximation is held to its own definition. */
bool tw_execution_agrees(const tw_execution *execution);

/** The tables of forward and of backward passes, and a row of each: none if the pass is not judged. Of codes, the first has a
 *  column more. */
tw_table tw_execution_forward_table(bool codes);
tw_table tw_execution_backward_table(void);
void tw_execution_add_rows(tw_table *forward, tw_table *backward, const tw_case *c,
                           const tw_execution *execution);

#ifdef __cplusplus
}
#endif

#endif
