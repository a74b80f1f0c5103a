/* What the environment may say: one line against a value that would otherwise be ignored. */
#ifndef LAB_SETTINGS_H
#define LAB_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>

enum { LAB_SECONDS = 5, LAB_MAX_SECONDS = 3600 };

/* TW_LAB_SECONDS: how long one answer may take; LAB_SECONDS if it is not set. False, with the reason, if it is no such time. */
bool lab_setting_seconds(double *seconds, char *why, size_t size);

typedef enum lab_wish { LAB_ANY, LAB_ONLY_BWRAP, LAB_ONLY_USER } lab_wish;

/* TW_CONFINE: "bwrap" or "user" insists on that; LAB_ANY if it is not set. False, with the reason, if it is anything else. */
bool lab_setting_confinement(lab_wish *wish, char *why, size_t size);

#endif
