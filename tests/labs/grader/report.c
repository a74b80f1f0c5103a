/* Items, points and reasons. */
#include "report.h"

#include <stdarg.h>
#include <string.h>

lab_item *lab_report_item(lab_report *report, int max, const char *name)
{
    /* The lists of items are fixed and short; the last one would only be shared by a mistake in a lab. */
    int i = report->num_items < LAB_MAX_ITEMS ? report->num_items++ : LAB_MAX_ITEMS - 1;
    lab_item *item = &report->items[i];
    memset(item, 0, sizeof *item);
    item->max = max;
    snprintf(item->name, sizeof item->name, "%s", name);
    return item;
}

static void tame(char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < ' ' || *text == 127)
            *text = ' ';
}

void lab_lose(lab_item *item, const char *format, ...)
{
    if (item->lost)
        return;
    item->lost = true;
    va_list args;
    va_start(args, format);
    vsnprintf(item->reason, sizeof item->reason, format, args);
    va_end(args);
    tame(item->reason);
}

int lab_item_points(const lab_item *item)
{
    return item->lost ? 0 : item->max;
}

int lab_report_points(const lab_report *report)
{
    int points = 0;
    for (int i = 0; i < report->num_items; i++)
        points += lab_item_points(&report->items[i]);
    return points;
}

int lab_report_max(const lab_report *report)
{
    int max = 0;
    for (int i = 0; i < report->num_items; i++)
        max += report->items[i].max;
    return max;
}

/* ---- printing -------------------------------------------------------------------------------------------- */

static const char *if_colour(bool colour, const char *code)
{
    return colour ? code : "";
}

static void print_item(FILE *out, const lab_item *item, bool colour)
{
    fprintf(out, "%s%3d / %-3d%s %s\n", if_colour(colour, item->lost ? "\033[31m" : "\033[32m"),
            lab_item_points(item), item->max, if_colour(colour, "\033[0m"), item->name);
    if (item->lost)
        fprintf(out, "          %s\n", item->reason);
}

void lab_report_print_title(FILE *out, const lab_report *report, bool colour)
{
    fprintf(out, "%s%s%s\n", if_colour(colour, "\033[1m"), report->title, if_colour(colour, "\033[0m"));
    if (report->notes[0])
        fprintf(out, "%s\n", report->notes);
    fprintf(out, "\n");
    fflush(out);
}

void lab_report_print_total(FILE *out, const lab_report *report, bool colour)
{
    fprintf(out, "%s%3d / %-3d points%s\n", if_colour(colour, "\033[1m"), lab_report_points(report),
            lab_report_max(report), if_colour(colour, "\033[0m"));
}

void lab_report_print(FILE *out, const lab_report *report, bool colour)
{
    lab_report_print_title(out, report, colour);
    for (int i = 0; i < report->num_items; i++)
        print_item(out, &report->items[i], colour);
    lab_report_print_total(out, report, colour);
}

void lab_report_show(lab_report *report)
{
    for (int i = 0; report->live && i < report->num_items; i++) {
        lab_item *item = &report->items[i];
        if (item->shown || !(item->lost || item->final))
            continue;
        print_item(report->live, item, report->colour);
        fflush(report->live);
        item->shown = true;
    }
}

void lab_report_settle(lab_report *report)
{
    for (int i = 0; i < report->num_items; i++)
        report->items[i].final = true;
    lab_report_show(report);
}
