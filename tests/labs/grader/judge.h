/*
 * The part of a grader that knows the lab: it makes up inputs, asks for the student's results, computes its own with
 * the reference library, and compares. Whom it asks is hidden behind lab_asker: a confined worker when a grade is at
 * stake, a plain function call in the handout's `make check`.
 */
#ifndef LAB_JUDGE_H
#define LAB_JUDGE_H

#include "../worker/message.h"
#include "report.h"

#include <stdint.h>

/* Relative to max(1, |expected|): generous for doubles, far below what a mistake costs. */
#define LAB_TOLERANCE 1e-9

typedef struct lab_asker {
    /* Fills the answer; false, with the reason, if there is none. */
    bool (*ask)(struct lab_asker *self, lab_message *answer, const lab_message *question, char *why,
                size_t size);
} lab_asker;

/* Which answers are numbers, whether right or wrong. */
typedef struct lab_form {
    int asked, given;
    char missing[400];  /* the names of those that are empty */
    char problems[700]; /* what is wrong with others, a line each */
} lab_form;

typedef struct lab_judge {
    lab_report *report;
    lab_asker *asker;
    uint64_t inputs;        /* seed of the inputs: the grader's own, drawn anew for every grading */
    uint64_t stream;        /* counts the tensors drawn so far */
    uint64_t seed;          /* of the task: the handout's */
    const char *answers;    /* text of answers.txt; NULL where answers are not judged, or are not to be had */
    const char *no_answers; /* why they are not to be had: each is lost for this reason; else NULL */
    lab_form *form;         /* answers are looked at for this alone; NULL where they are judged */
    uint64_t written;       /* a bit for each function of the lab's that was seen to do something */
    lab_message question, answer;
} lab_judge;

/* Points for everything that the lab asks: for answers.txt, if there is one, and for the code. */
void lab_judge_all(lab_judge *judge);

/* Each lab's own: what is graded with this seed, the items about answers.txt, and those about the code. */
void lab_title(char *title, size_t size, uint64_t seed);
void lab_judge_answers(lab_judge *judge);
void lab_judge_code(lab_judge *judge);

/* n standard-normal numbers, times `size`. */
void lab_judge_normal(lab_judge *judge, double *x, size_t n, double size);
/* One of low … high. */
int lab_judge_pick(lab_judge *judge, int low, int high);

/*
 * Function number `function` was asked and did something, or nothing. True if it never did anything so far: it is not
 * written yet, and a reason that explains a mistake would be an answer given away.
 */
bool lab_judge_is_unwritten(lab_judge *judge, int function, bool did_nothing);

/* Asks; the item is lost if there is no answer, or one of another size than asked for. */
bool lab_judge_ask(lab_judge *judge, lab_item *item, const char *what, size_t num_ints, size_t num_reals);

/* Within tolerance of what is expected; infinities must be equal, NaN is never close. */
bool lab_close(double x, double expected);

/* Loses the item: "WHAT is X, it should be EXPECTED. HINT", with digits enough to see the difference. */
void lab_lose_number(lab_item *item, const char *what, double x, double expected, const char *hint);

/* A number in answers.txt: "key = number". False if there is none, and then `why` says so. */
bool lab_answer(double *value, const char *answers, const char *key, char *why, size_t size);
/* The item is lost unless the answer for `key` is `expected`, give or take `tolerance`; `hint` helps. */
void lab_judge_answer(lab_judge *judge, lab_item *item, const char *key, double expected, double tolerance,
                      const char *hint);

#endif
