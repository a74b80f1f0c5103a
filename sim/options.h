/**
 * @file options.h
 * @brief The options that all subcommands share: one table, read through popt, every value checked.
 *
 * A program gives a set of tables; each row says where its value goes. `tilewise` and `tilewise-gpu` use the
 * same rows for shapes, so that a shape is spelled the same way everywhere.
 */
#ifndef TW_OPTIONS_H
#define TW_OPTIONS_H

#include "../cpu_ref/problem.h"
#include "../cpu_ref/status.h"
#include "backend_count.h"
#include "extras.h"
#include "machine.h"
#include "parse.h"
#include "schedules/registry.h"
#include "tiling.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** What an option's text is read as, and the type of the field that takes it. */
typedef enum tw_option_kind {
    TW_OPTION_FLAG,      /**< bool; no text */
    TW_OPTION_INT,       /**< int */
    TW_OPTION_INT_LIST,  /**< tw_int_list */
    TW_OPTION_BYTES,     /**< int64_t */
    TW_OPTION_SEED,      /**< uint64_t */
    TW_OPTION_POSITIVE,  /**< double */
    TW_OPTION_NUMBER,    /**< double, finite */
    TW_OPTION_FRACTION,  /**< double, from 0 to below 1 */
    TW_OPTION_DTYPE,     /**< tw_dtype */
    TW_OPTION_CHOICE,    /**< int; `argument` lists the words: "bytes|elements" */
    TW_OPTION_TEXT,      /**< char *, owned; NULL if not given */
    TW_OPTION_TEXTS,     /**< tw_text_list; the option may be repeated */
    TW_OPTION_ALGORITHMS /**< tw_algorithm_list */
} tw_option_kind;

#define TW_TEXTS_MAX      16
#define TW_ALGORITHMS_MAX 64

typedef struct tw_text_list {
    int count;
    char *values[TW_TEXTS_MAX]; /**< owned */
} tw_text_list;

typedef struct tw_algorithm_list {
    int count;
    const tw_schedule *values[TW_ALGORITHMS_MAX];
} tw_algorithm_list;

/** Which rows of the shared table a subcommand has. */
enum {
    TW_GROUP_ALGORITHM = 1,
    TW_GROUP_SHAPE = 2,
    TW_GROUP_CAUSAL = 4,
    TW_GROUP_TILING = 8,
    TW_GROUP_MACHINE = 16,
    TW_GROUP_UNIT = 32,
    TW_GROUP_CSV = 64,
    TW_GROUP_SEED = 128,
    TW_GROUP_ORDER = 256,
    TW_GROUP_LAUNCH = 512,
    TW_GROUP_EXTRAS = 1024, /**< what is beyond plain attention: extras.h */
    TW_GROUP_PASS = 2048,
    TW_GROUP_SPLITS = 4096, /**< how keys are split */
    TW_GROUP_PAGES = 8192,  /**< where K and V are */
    TW_GROUP_ALL = 16383
};

/** The words of --pass, in this order. */
enum { TW_PASSES_FORWARD, TW_PASSES_BACKWARD, TW_PASSES_BOTH };

/** One option. */
typedef struct tw_option {
    const char *name;     /**< without the dashes */
    const char *argument; /**< "LIST"; NULL for a flag */
    tw_option_kind kind;
    size_t offset;  /**< of the field, in the struct that the table fills */
    unsigned group; /**< 0 in a program's own table */
    const char *help;
} tw_option;

/** A table of options and what it fills. */
typedef struct tw_option_set {
    const tw_option *rows;
    int count;
    void *into;
    unsigned groups; /**< rows with none of these groups are left out; 0 takes all */
} tw_option_set;

/** What the shared options say. Lists with count 0 and texts that are NULL were not given. */
typedef struct tw_options {
    tw_algorithm_list algorithms;
    tw_int_list seqlen, seqlen_q, seqlen_k, head_dim, heads, heads_kv, batch;
    int tokens, hidden; /**< 0: not given; else batch = tokens / seqlen_q, heads = hidden / head_dim */
    tw_int_list block_m, block_n;
    tw_int_list splits; /**< of the keys; 0, or none: as fill the SMs */
    double phi;         /**< a fixed maximum */
    tw_dtype dtype;
    bool dtype_given; /**< set by tw_options_read() */
    bool causal;
    int order, kv_order; /**< a tw_order, a tw_kv_order */
    char *machine;
    int64_t sram_bytes;             /**< 0: as the machine has it */
    tw_text_list set;               /**< "key=value": numbers of the machine in place of its own */
    int l2_start;                   /**< a tw_l2_start */
    int blocks_per_sm, num_workers; /**< 0: as the schedule's slots allow */
    bool static_stride;
    int unit; /**< 0 bytes, 1 elements */
    char *csv;
    uint64_t seed;
    int passes; /**< TW_PASSES_* */
    tw_extras extras;
    bool
        counts_only; /**< set by a command that computes with no numbers: none are read or made for its cases */
} tw_options;

/** All shared options that have a default have it: fp16, seed 1. */
tw_options tw_options_default(void);

/** The shared table, filling `options`, restricted to some groups. */
tw_option_set tw_options_shared(tw_options *options, unsigned groups);

/**
 * @brief Reads a command line.
 *
 * With `--help` the options are printed to stdout, *help becomes true and nothing else is read.
 * @param[out] help
 * @param[in]  command   "tilewise io", for messages and help
 * @param[in]  summary   what it does; printed above the options
 * @param[in]  sets      tables of which all rows are accepted; their fields must hold defaults
 * @param[in]  argc, argv  argv[0] is overwritten with `command`
 * @return TW_OK; TW_EINVAL, TW_EOVERFLOW (an option that there is not, with a suggestion; a missing or needless
 *         value; a value that is refused; an argument that is no option). Texts read so far are owned even then.
 */
TW_MUST_CHECK tw_status tw_options_read(bool *help, const char *command, const char *summary,
                                        tw_option_set *sets, int num_sets, int argc, char **argv);

/** Frees the texts that a table's fields own, and clears them. */
void tw_options_free(tw_option_set *sets, int num_sets);

/**
 * @brief The machine that the options name (h100 if none), with its SRAM and single numbers replaced if they say so.
 * @return TW_OK; as tw_machine_find(); as tw_machine_set()
 */
TW_MUST_CHECK tw_status tw_options_machine(tw_machine *machine, const tw_options *options);

/** Does any option say something about the shape of the problem? */
bool tw_options_shape_given(const tw_options *options);

/** One thing to be counted, run or timed. */
typedef struct tw_case {
    const tw_schedule *schedule;
    tw_problem problem;
    tw_tiling tiling;
    tw_tiling wanted;           /**< as the user gave it: block sizes 0 where not given */
    tw_attached *attached;      /**< what the problem points to; NULL for plain attention */
    const tw_schedule *forward; /**< of a backward `schedule`: the pass that it goes behind; otherwise NULL */
    tw_tiling forward_tiling;
    const tw_schedule *backward; /**< goes behind a forward `schedule`, both being meant; otherwise NULL */
    tw_tiling backward_tiling;
} tw_case;

#define TW_CASES_MAX 65536

/**
 * @brief Every combination of the lists, in the order batch, heads, heads_kv, head_dim, seqlen_q, seqlen_k,
 *        algorithm, block_m, block_n, splits; the last varies fastest.
 *
 * --seqlen sets both lengths, alike; --seqlen-q and --seqlen-k set one and then combine with the other. Tiles that
 * were not given are the schedule's own choice. 16-bit inputs are multiplied by tensor cores.
 * @param[out] cases   owned by the caller: free()
 * @param[out] count
 * @return TW_OK; TW_EINVAL (all three lengths given; tokens or hidden beside batch or heads, or not divisible; more than TW_CASES_MAX cases; a pass that an algorithm does not have; as tw_problem_check(),
 *         tw_extras_check() and tw_extras_attach());
 *         TW_EOVERFLOW; TW_ENOMEM
 */
TW_MUST_CHECK tw_status tw_options_cases(tw_case **cases, size_t *count, const tw_options *options,
                                         const tw_machine *machine);

/**
 * @brief Counts a case: its schedule, and the backward pass behind it if both are meant.
 * @return as tw_count()
 */
TW_MUST_CHECK tw_status tw_case_count(tw_count_result *result, const tw_case *c, const tw_machine *machine);

/** Frees cases and what their problems point to; NULL is fine. */
void tw_cases_free(tw_case *cases, size_t count);

#ifdef __cplusplus
}
#endif

#endif
