/**
 * @file step_page.h
 * @brief A recorded walk as one page for a browser, which needs nothing beside it.
 */
#ifndef TW_STEP_PAGE_H
#define TW_STEP_PAGE_H

#include "backend_trace.h"

#ifdef __cplusplus
extern "C" {
#endif

/** A page is smaller than this, or it is refused. */
#define TW_STEP_PAGE_MAX_BYTES 2000000

/**
 * @brief Writes the page; the file is there completely or not at all.
 * @param[in] path   "-" is stdout
 * @param[in] trace  recorded in full
 * @param[in] start  the stop that the page opens at if its address names none
 * @return TW_OK; TW_EUNSUPPORTED (it would be larger than TW_STEP_PAGE_MAX_BYTES); TW_EIO; TW_ENOMEM
 */
TW_MUST_CHECK tw_status tw_step_page_write(const char *path, const tw_trace *trace, size_t start);

#ifdef __cplusplus
}
#endif

#endif
