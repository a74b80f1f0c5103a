/* What a recorded schedule moved beyond its budget. */
#ifndef LAB3_SURPLUS_H
#define LAB3_SURPLUS_H

#include "expect.h"

/*
 * Which tensors are loaded (or stored) more than the budget says, by how many bytes, and for a load the first one that
 * is too many, where it can be told. The records have been checked.
 */
void lab3_surplus(char *text, size_t size, bool stores, const int64_t *ints, size_t num_ints,
                  const lab3_case *c, const lab3_budget *budget);

#endif
