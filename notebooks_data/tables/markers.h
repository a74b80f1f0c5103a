/**
 * @file markers.h
 * @brief Text between markers in a Markdown file: <!-- NAME: begin --> … <!-- NAME: end -->, written anew.
 */
#ifndef TW_MARKERS_H
#define TW_MARKERS_H

#include "../../cpu_ref/status.h"

/** Reads a whole text file; the caller frees it. @return TW_OK; TW_EIO; TW_ENOMEM */
TW_MUST_CHECK tw_status tw_text_read(char **text, const char *path);

/** Writes a whole file: there completely or as it was. @return TW_OK; TW_EIO; TW_ENOMEM */
TW_MUST_CHECK tw_status tw_text_write(const char *path, const char *text);

/**
 * @brief Replaces what stands between the markers of a name, wherever they stand.
 * @param[in,out] text  owned by the caller; replaced by a new one
 * @return TW_OK; TW_EFORMAT (no such markers, or one without the other); TW_ENOMEM
 */
TW_MUST_CHECK tw_status tw_markers_fill(char **text, const char *name, const char *content);

#endif
