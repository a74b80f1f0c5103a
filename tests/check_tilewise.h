/* What every suite includes: Check, and the prototypes of all suites. */
#ifndef TW_CHECK_TILEWISE_H
#define TW_CHECK_TILEWISE_H

#include <check.h>

#define TW_SUITE(name) Suite *tw_suite_##name(void);
#include "suites.def"
#undef TW_SUITE

#endif
