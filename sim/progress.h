/**
 * @file progress.h
 * @brief A bar for long work, on stderr and only where that is a terminal.
 */
#ifndef TW_PROGRESS_H
#define TW_PROGRESS_H

#ifdef __cplusplus
extern "C" {
#endif

/** Shows that `done` of `total` steps are done and `what` is next, in place of what was shown before. */
void tw_progress_show(double done, double total, const char *what);

/** Wipes the bar away; before anything else is printed. */
void tw_progress_clear(void);

#ifdef __cplusplus
}
#endif

#endif
