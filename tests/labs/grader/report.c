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

void lab_report_print(FILE *out, const lab_report *report, bool colour)
{
    const char *good = colour ? "\033[32m" : "", *bad = colour ? "\033[31m" : "",
               *strong = colour ? "\033[1m" : "";
    const char *plain = colour ? "\033[0m" : "";
    fprintf(out, "%s%s%s\n", strong, report->title, plain);
    if (report->notes[0])
        fprintf(out, "%s\n", report->notes);
    fprintf(out, "\n");
    for (int i = 0; i < report->num_items; i++) {
        const lab_item *item = &report->items[i];
        fprintf(out, "%s%3d / %-3d%s %s\n", item->lost ? bad : good, lab_item_points(item), item->max, plain,
                item->name);
        if (item->lost)
            fprintf(out, "          %s\n", item->reason);
    }
    fprintf(out, "%s%3d / %-3d points%s\n", strong, lab_report_points(report), lab_report_max(report), plain);
}
