/**
 * @file memory.h
 * @brief Is there memory for this? Asked before it is taken.
 *
 * Linux hands out addresses freely and kills a program later that uses them all: a failed malloc is not what
 * happens when memory runs out. So whoever is about to allocate by the gigabyte asks first.
 */
#ifndef TW_MEMORY_H
#define TW_MEMORY_H

#include "status.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Bytes that can be had now without swapping; INFINITY where the system does not say. */
double tw_memory_available_bytes(void);

/**
 * @brief Refuses what cannot fit.
 * @param bytes  how much is wanted
 * @param what   begins the message: the file or the step that wants the memory
 * @return TW_OK; TW_ENOMEM (bytes is more than tw_memory_available_bytes())
 */
TW_MUST_CHECK tw_status tw_memory_check(double bytes, const char *what);

#ifdef __cplusplus
}
#endif

#endif
