/*
 * The place where one submission is compiled and run: a scratch folder, a confined compiler, a confined worker that
 * is asked questions and started anew when it has died.
 */
#ifndef LAB_WORKSHOP_H
#define LAB_WORKSHOP_H

#include "confine.h"
#include "judge.h"

#include <limits.h>

enum { LAB_MAX_DEATHS = 3 };

typedef struct lab_workshop {
    lab_asker asker; /* first: a workshop is an asker */
    lab_confinement how;
    const char *kit; /* build/labs */
    const char *compiler;
    double question_s; /* how long one answer may take */
    char scratch[PATH_MAX], in[PATH_MAX], out[PATH_MAX], run[PATH_MAX];
    lab_process worker;
    int deaths;
    size_t printed; /* bytes that the worker has written to stdout and stderr */
    char last_words[300];
} lab_workshop;

/* An empty workshop, where an answer may take so many seconds; false, with the reason, if there is no room for one. */
bool lab_workshop_open(lab_workshop *shop, lab_confinement how, const char *kit, double seconds, char *why,
                       size_t size);

/* Compiles `source` of the submission with the lab's worker. False, with the compiler's complaint. */
bool lab_workshop_build(lab_workshop *shop, int lab, const char *submission, const char *source, char *why,
                        size_t size);

/* Seconds of a clock that only goes forward, and what is left until a time of it, for poll(). */
double lab_now(void);
int lab_milliseconds_until(double deadline);

/* Ends the worker and removes the scratch folder. */
void lab_workshop_close(lab_workshop *shop);

#endif
