/* What a submission is awarded, item by item, and why: for a terminal, for Gradescope, for a spreadsheet. */
#ifndef LAB_REPORT_H
#define LAB_REPORT_H

#include "../../../cpu_ref/status.h"

#include <stdbool.h>
#include <stdio.h>

enum { LAB_MAX_ITEMS = 40, LAB_REASON = 700 };

typedef struct lab_item {
    char name[80];
    int max;
    bool lost;
    bool final, shown;       /* nothing more can be lost; it has been printed */
    char reason[LAB_REASON]; /* the first one; "" while nothing is wrong */
} lab_item;

typedef struct lab_report {
    int lab;
    char title[120];
    char notes[LAB_REASON]; /* about the submission as a whole: seed, how it was confined */
    FILE *live;             /* somebody is watching: items are printed here as they become final; else NULL */
    bool colour;            /* there */
    int num_items;
    lab_item items[LAB_MAX_ITEMS];
} lab_report;

/* A new item, worth max until something is found wrong. */
lab_item *lab_report_item(lab_report *report, int max, const char *name);

/* The item is lost; the first reason is kept. Control characters become spaces: a reason may quote a student. */
void lab_lose(lab_item *item, const char *format, ...) TW_PRINTF(2, 3);

/* What has been lost or is final is shown, if somebody is watching and it was not shown yet. */
void lab_report_show(lab_report *report);
/* All items so far are final. */
void lab_report_settle(lab_report *report);

int lab_item_points(const lab_item *item);
int lab_report_points(const lab_report *report);
int lab_report_max(const lab_report *report);

/* Points and reasons, a line each; in colour if asked: the whole report, or its beginning and its end alone. */
void lab_report_print(FILE *out, const lab_report *report, bool colour);
void lab_report_print_title(FILE *out, const lab_report *report, bool colour);
void lab_report_print_total(FILE *out, const lab_report *report, bool colour);

#endif
