/* How a process ended, in words: for those who run a student's code. */
#ifndef LAB_ENDING_H
#define LAB_ENDING_H

#include <stddef.h>

/* "signal 11, a segmentation fault", "exit status 1": what a wait status means, also by way of bubblewrap. */
void lab_ending_describe(int wait_status, char *text, size_t size);

#endif
