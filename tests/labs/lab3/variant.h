/* Which of lab 3's tasks a seed gives, and with which sizes. */
#ifndef LAB3_VARIANT_H
#define LAB3_VARIANT_H

#include "case.h"

/* The case that the handout describes and that is counted on paper: one head, no batch. */
lab3_case lab3_paper_case(uint64_t seed);

#endif
