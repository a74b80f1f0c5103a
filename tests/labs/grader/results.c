/* results.json, as Gradescope reads it. */
#include "grade.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>
#include <unistd.h>

static json_t *text_of(const char *text)
{
    json_t *json = json_string(text); /* NULL if a student's bytes are not UTF-8 */
    return json ? json : json_string("(not readable as text)");
}

static json_t *item_json(const lab_item *item)
{
    json_t *json = json_object();
    json_object_set_new(json, "name", text_of(item->name));
    json_object_set_new(json, "score", json_integer(lab_item_points(item)));
    json_object_set_new(json, "max_score", json_integer(item->max));
    json_object_set_new(json, "status", json_string(item->lost ? "failed" : "passed"));
    json_object_set_new(json, "output", text_of(item->lost ? item->reason : "right"));
    return json;
}

bool lab_write_json(const char *path, const lab_report *report, char *why, size_t size)
{
    char temporary[4096];
    json_t *json = json_object(), *tests = json_array();
    for (int i = 0; i < report->num_items; i++)
        json_array_append_new(tests, item_json(&report->items[i]));
    json_object_set_new(json, "score", json_integer(lab_report_points(report)));
    json_object_set_new(json, "output", text_of(report->notes[0] ? report->notes : report->title));
    json_object_set_new(json, "visibility", json_string("visible"));
    json_object_set_new(json, "tests", tests);
    snprintf(temporary, sizeof temporary, "%s.part", path);
    bool good = json_dump_file(json, temporary, JSON_INDENT(2)) == 0 && rename(temporary, path) == 0;
    if (!good) {
        snprintf(why, size, "%s cannot be written: %s", path, strerror(errno));
        unlink(temporary);
    }
    json_decref(json);
    return good;
}
