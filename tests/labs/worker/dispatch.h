/*
 * Each lab has one dispatcher: it unpacks a question, calls the student's function, and packs what that returned.
 * The worker calls it in a confined process; the handout's `make check` calls it directly.
 */
#ifndef LAB_DISPATCH_H
#define LAB_DISPATCH_H

#include "message.h"

/* False if the question has no meaning. */
bool lab_dispatch(lab_message *answer, const lab_message *question);

#endif
