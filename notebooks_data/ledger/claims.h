/**
 * @file claims.h
 * @brief What papers print, row by row: the .ini files that docs/ledger.md is made from, and the verdict on a row.
 *
 *     [fig2-bytes-flash]
 *     claim = Figure 2, left: HBM of FlashAttention
 *     source = arXiv:2205.14135
 *     printed = 4.4 GB                 a number, or two with "to" between them, and a unit
 *     kind = recomputed                recomputed, predicted, predicted-uncalibrated, measured
 *     rule = count                     how far off still counts as reproduced: see tw_rules
 *     command = …                      prints our number; or three: median, lowest and highest over seeds
 *     reason = …                       why ours is another: needed for "explained", refused where the row is reproduced
 *     note = …                         stands behind the verdict whatever it is
 *
 * A row with `cannot = …` in place of kind, rule and command says why there is no number of ours. A line that begins with
 * a blank continues the one before; a line has at most 198 characters.
 */
#ifndef TW_CLAIMS_H
#define TW_CLAIMS_H

#include "../../cpu_ref/status.h"

#include <stdbool.h>
#include <stddef.h>

/** How far off still counts as reproduced; one rule for all rows of a sort. */
typedef struct tw_rule {
    const char *name;
    double allowed;     /**< share of what is printed */
    bool from_interval; /**< what is printed must lie between the lowest and the highest over seeds instead */
} tw_rule;

/** exact 0, count 5 % (bytes, FLOPs), time 15 % (times, rates, speedups), seeds; ended by one without a name. */
extern const tw_rule tw_rules[];

/** One row as it stands in the file. Texts that are missing are "". */
typedef struct tw_claim {
    char id[64], claim[400], source[200], printed[64], kind[32], cannot[600];
    char command[1200], reason[1000], note[600], rule_name[16];
    double printed_low, printed_high; /**< the same number twice if one is printed */
    char unit[24];
    const tw_rule *rule; /**< NULL with `cannot` */
} tw_claim;

/** All rows of a file. */
typedef struct tw_claims {
    tw_claim *rows; /**< owned */
    size_t count;
} tw_claims;

/**
 * @brief Reads a file of rows; {0} is an empty list.
 * @return TW_OK; TW_EIO; TW_EFORMAT (an unknown key, a number that is none, a row without what it needs; the line says
 *         which row); TW_ENOMEM
 */
TW_MUST_CHECK tw_status tw_claims_read(tw_claims *claims, const char *path);

void tw_claims_free(tw_claims *claims);

/** What a command printed: one number, or three, of seeds. */
typedef struct tw_ours {
    double value;
    bool has_interval;
    double lowest, highest;
} tw_ours;

/** @return TW_OK; TW_EFORMAT (other than one or three numbers) */
TW_MUST_CHECK tw_status tw_ours_parse(tw_ours *ours, const char *text);

/** What the fifth column begins with. */
typedef enum tw_verdict { TW_REPRODUCED, TW_EXPLAINED, TW_NOT_REPRODUCED, TW_CANNOT_BE_CHECKED } tw_verdict;

/** "reproduced", …; static storage. */
const char *tw_verdict_name(tw_verdict verdict);

/** Is it a factor between 1 and 1.5? Then what it gains over 1 is compared: 1.01 is nothing of 1.14. */
bool tw_claim_is_gain(const tw_claim *claim);

/**
 * @brief How far ours is from what is printed, as a share of it, or of what it gains over 1.
 *
 * 0 within a printed range, else from its nearer end. Where 0 is printed, ours itself.
 */
double tw_claim_difference(const tw_claim *claim, const tw_ours *ours);

/**
 * @brief The verdict that follows from the numbers.
 * @param[in] ours  unused with `cannot`
 * @return TW_OK; TW_EFORMAT (a reason, but nothing to explain; an interval where the rule has none, or the other way)
 */
TW_MUST_CHECK tw_status tw_claim_judge(tw_verdict *verdict, const tw_claim *claim, const tw_ours *ours);

#endif
