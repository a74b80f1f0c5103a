/**
 * @file contenders.h
 * @brief What a command line asks to be predicted: names of kernels and algorithms, times shapes, times tiles.
 */
#ifndef TW_CONTENDERS_H
#define TW_CONTENDERS_H

#include "options.h"
#include "predict.h"

#ifdef __cplusplus
extern "C" {
#endif

/** One thing to be predicted, and what came of it. */
typedef struct tw_contender {
    const char *name; /**< as it was asked for; of the options */
    tw_problem problem;
    tw_build build;
    tw_prediction *result; /**< NULL until predicted; owned */
} tw_contender;

typedef struct tw_contenders {
    tw_contender *all; /**< owned; by shape, then in the order of the names */
    size_t count;
    tw_case *cases; /**< whose arrays the problems point to; owned */
    size_t num_cases;
} tw_contenders;

/**
 * @brief Names, shapes and tiles of the options, multiplied out.
 * @param[in] kernels  "20_flash2,fa3"; NULL: none
 * @return TW_OK; TW_EINVAL (neither a kernel nor an algorithm is named); as tw_options_cases() and tw_build_find()
 */
TW_MUST_CHECK tw_status tw_contenders_of(tw_contenders *list, const char *kernels, const tw_options *options,
                                         const tw_machine *machine);

/** Predicts all of them. @return TW_OK; as tw_predict(); TW_ENOMEM */
TW_MUST_CHECK tw_status tw_contenders_predict(tw_contenders *list, const tw_machine *machine,
                                              const tw_predict_options *how);

void tw_contenders_free(tw_contenders *list);

#ifdef __cplusplus
}
#endif

#endif
