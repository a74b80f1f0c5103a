/**
 * @file version.h
 * @brief What this binary was built from.
 */
#ifndef TW_VERSION_H
#define TW_VERSION_H

#ifdef __cplusplus
extern "C" {
#endif

/** Abbreviated commit, with "-dirty" behind it if files differed from it; "unknown" outside a checkout. */
const char *tw_commit(void);

#ifdef __cplusplus
}
#endif

#endif
