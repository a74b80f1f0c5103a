/* What a student handed in, taken over as data: plain files only, of bounded size, never followed anywhere. */
#ifndef LAB_SUBMISSION_H
#define LAB_SUBMISSION_H

#include <stdbool.h>
#include <stddef.h>

enum { LAB_MAX_FILE = 256 * 1024, LAB_MAX_FILES = 500, LAB_MAX_DEPTH = 6 };

/* Nothing in the folder but folders and plain files? If not, the reason names what it is. */
bool lab_submission_check(const char *folder, char *why, size_t size);

/* The text of one of its files, to be freed; NULL, with the reason, if it cannot be had. */
char *lab_submission_text(const char *folder, const char *name, char *why, size_t size);

/* Copies one of its files. False, with the reason, if that cannot be. */
bool lab_submission_copy(const char *folder, const char *name, const char *to_folder, char *why, size_t size);

#endif
