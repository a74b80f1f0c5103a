/* A recorded walk as one page: what is in page/ with the walk as JSON and the schedule's source inside. */
#include "step_page.h"

#include "csv.h"
#include "step_text.h"
#include "version.h"

#include <jansson.h>

#include <stdlib.h>
#include <string.h>

/* The page, its style and script, and the schedules, each as one string. TW_SOURCELESS leaves the schedules out. */
static const struct {
    const char *name, *text;
} files[] = {
#include "page_files.inc"
#ifndef TW_SOURCELESS
#include "schedule_files.inc"
#endif
};

static const char *file_text(const char *name)
{
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        if (strcmp(files[i].name, name) == 0)
            return files[i].text;
    return "";
}

/* ---- the walk as JSON ----------------------------------------------------------------------------------- */

/* Numbers as text, so that the page shows what every other view prints; one string is smaller than a list. */
static json_t *numbers_json(const double *x, size_t count)
{
    size_t size = count * sizeof(tw_step_number) + 1, used = 0;
    char *text = malloc(size);
    if (!text)
        return NULL;
    text[0] = '\0';
    for (size_t i = 0; i < count; i++)
        used += (size_t)snprintf(text + used, size - used, "%s%s", i > 0 ? " " : "",
                                 tw_step_format(x[i]).text);
    json_t *json = json_string(text);
    free(text);
    return json;
}

static json_t *slot_json(const tw_trace_slot *slot)
{
    const tw_slot_info *info = &slot->info;
    return json_pack("{s:i, s:s, s:i, s:s, s:I, s:i, s:I, s:i, s:I, s:b}", "id", slot->id, "name", slot->name,
                     "place", (int)info->place, "dtype", tw_dtype_name(info->dtype), "row0",
                     (json_int_t)info->rows.row0, "rows", info->rows.rows, "col0",
                     (json_int_t)info->cols.row0, "cols", info->cols.rows, "bytes", (json_int_t)info->bytes,
                     "normalized", (int)info->normalized);
}

static bool same_slot(const tw_trace_slot *a, const tw_trace_slot *b)
{
    const tw_slot_info *x = &a->info, *y = &b->info;
    return a->id == b->id && strcmp(a->name, b->name) == 0 && x->place == y->place && x->dtype == y->dtype &&
           x->rows.row0 == y->rows.row0 && x->rows.rows == y->rows.rows && x->cols.row0 == y->cols.row0 &&
           x->cols.rows == y->cols.rows && x->bytes == y->bytes && x->normalized == y->normalized;
}

static bool was_there(const tw_trace *t, const tw_trace_frame *before, const tw_trace_slot *slot)
{
    if (!before || (before->kind == TW_OP_RELEASE && before->slot == slot->id))
        return false;
    for (size_t i = 0; i < before->chip.num_slots; i++)
        if (same_slot(&t->slots[before->chip.first_slot + i], slot))
            return true;
    return false;
}

/* The slots that are new, or are not what they were. Those that go, go by a release: the page knows that. */
static json_t *changed_slots_json(const tw_trace *t, const tw_trace_frame *frame,
                                  const tw_trace_frame *before)
{
    json_t *list = json_array();
    for (size_t i = 0; i < frame->chip.num_slots; i++) {
        const tw_trace_slot *slot = &t->slots[frame->chip.first_slot + i];
        if (!was_there(t, before, slot))
            json_array_append_new(list, slot_json(slot));
    }
    return list;
}

static json_t *moved_json(const tw_moved *m)
{
    return json_pack("[I, I, I, I]", (json_int_t)m->sram_fill_bytes, (json_int_t)m->sram_drain_bytes,
                     (json_int_t)m->hbm_read_bytes, (json_int_t)m->hbm_write_bytes);
}

/* One operation, with what it changed. */
static json_t *frame_json(const tw_trace *t, const tw_trace_frame *frame, const tw_trace_frame *before)
{
    json_t *writes = json_array();
    for (size_t i = 0; i < frame->num_writes; i++) {
        const tw_trace_write *write = &t->writes[frame->first_write + i];
        json_array_append_new(
            writes, json_pack("[i, o]", write->slot, numbers_json(t->numbers + write->first, write->count)));
    }
    return json_pack("{s:s, s:s, s:i, s:i, s:I, s:o, s:o, s:o}", "op", tw_op_name(frame->kind), "name",
                     frame->name, "slot", frame->slot, "line", frame->line, "stop", (json_int_t)frame->stop,
                     "moved", moved_json(&frame->chip.moved), "slots", changed_slots_json(t, frame, before),
                     "writes", writes);
}

static json_t *frames_json(const tw_trace *t)
{
    json_t *list = json_array();
    for (size_t i = 0; i < t->num_frames; i++)
        json_array_append_new(list, frame_json(t, &t->frames[i], i > 0 ? &t->frames[i - 1] : NULL));
    return list;
}

static json_t *stops_json(const tw_trace *t)
{
    json_t *list = json_array();
    for (size_t i = 0; i < t->num_stops; i++) {
        const tw_trace_stop *s = &t->stops[i];
        json_array_append_new(list, json_pack("{s:I, s:i, s:i, s:i, s:I, s:i, s:i, s:I, s:i, s:i, s:I, s:b}",
                                              "tile", (json_int_t)s->tile, "launch", s->launch, "batch",
                                              s->batch, "head", s->head, "row0", (json_int_t)s->rows.row0,
                                              "rows", s->rows.rows, "rowBox", s->rows.box_rows, "col0",
                                              (json_int_t)s->cols.row0, "cols", s->cols.rows, "colBox",
                                              s->cols.box_rows, "at", (json_int_t)s->at_frame, "ofKeys",
                                              (int)s->of_keys));
    }
    return list;
}

static json_t *baselines_json(const tw_trace *t)
{
    tw_step_baselines b = tw_step_baselines_of(t);
    json_t *json = json_object();
    for (int i = 0; i < 2; i++) {
        const tw_counts *n = &b.counts[i];
        tw_moved moved = {n->sram_fill_bytes, n->sram_drain_bytes, n->hbm_read_bytes, n->hbm_write_bytes};
        json_object_set_new(json, tw_step_baseline_names[i], b.known[i] ? moved_json(&moved) : json_null());
    }
    return json;
}

static json_t *places_json(const tw_machine *m)
{
    json_int_t smem = (json_int_t)m->smem_bytes, registers = (json_int_t)m->register_bytes_per_sm;
    if (m->kind != TW_MACHINE_GPU)
        return json_pack("[{s:s, s:I}]", "name", "SRAM", "bytes", smem);
    return json_pack("[{s:s, s:I}, {s:s, s:I}]", "name", "shared memory", "bytes", smem, "name", "registers",
                     "bytes", registers);
}

static json_t *launches_json(const tw_schedule *schedule)
{
    json_t *list = json_array();
    for (int i = 0; i < schedule->num_launches; i++)
        json_array_append_new(list, json_string(schedule->launches[i].name));
    return list;
}

static json_t *setting_json(const tw_trace *t)
{
    char setting[TW_STEP_SETTING_BYTES], tiles[TW_STEP_TILES_BYTES], rows[TW_STEP_ROWS_BYTES];
    tw_step_setting(setting, &t->problem);
    tw_step_tiles(tiles, t);
    tw_step_packed_rows(rows, t);
    return json_sprintf("%s, on %s%s; tiles of %s%s%s", setting, t->machine.name,
                        tw_machine_caveat(&t->machine), tiles, rows[0] ? "; " : "", rows);
}

static json_t *walk_json(const tw_trace *t, size_t start)
{
    tw_problem seen = tw_problem_seen_by(t->schedule, &t->problem);
    const tw_problem *p = &seen;
    json_int_t at = start > 0 && start < t->num_stops ? (json_int_t)t->stops[start].at_frame : 0;
    json_t *json = json_pack("{s:s, s:s, s:s, s:s, s:o, s:i, s:i, s:i, s:i, s:I, s:I, s:I}", "algorithm",
                             t->schedule->name, "file", t->schedule->file, "ledger", t->schedule->ledger,
                             "source", file_text(t->schedule->file), "setting", setting_json(t), "seqlen_q",
                             p->seqlen_q, "seqlen_k", p->seqlen_k, "heads", p->num_heads, "batch", p->batch,
                             "tiles", (json_int_t)t->num_tiles, "start", at, "row", (json_int_t)t->row);
    json_object_set_new(json, "levels",
                        json_pack("[s, s, s, s]", "SRAM fill", "SRAM drain", "HBM read", "HBM write"));
    json_object_set_new(json, "backward", json_boolean(t->schedule->pass == TW_PASS_BACKWARD));
    json_object_set_new(json, "charge", json_string(tw_step_charge(&t->machine)));
    json_object_set_new(json, "headName", json_string(p->heads_in_rows > 1 ? "K/V head" : "head"));
    json_object_set_new(json, "launches", launches_json(t->schedule));
    json_object_set_new(json, "places", places_json(&t->machine));
    json_object_set_new(json, "baselines", baselines_json(t));
    json_object_set_new(json, "stops", stops_json(t));
    json_object_set_new(json, "frames", frames_json(t));
    return json;
}

/* ---- the page ------------------------------------------------------------------------------------------- */

/* A name in {{…}} and what stands for it. */
typedef struct part {
    const char *name, *text;
} part;

/* Bytes that the page would take, and the page itself where `out` is not NULL. */
static size_t fill_in(FILE *out, const char *page, const part *parts, size_t num_parts)
{
    size_t bytes = 0;
    for (const char *c = page; *c != '\0';) {
        size_t plain = strlen(c), known = num_parts;
        const char *open = strstr(c, "{{");
        if (open)
            plain = (size_t)(open - c);
        bytes += plain;
        if (out)
            fwrite(c, 1, plain, out);
        for (size_t i = 0; open && i < num_parts; i++)
            if (strncmp(open + 2, parts[i].name, strlen(parts[i].name)) == 0)
                known = i;
        if (known == num_parts)
            break;
        bytes += strlen(parts[known].text);
        if (out)
            fputs(parts[known].text, out);
        c = open + strlen(parts[known].name) + 4;
    }
    return bytes;
}

static tw_status write_page(const char *path, const tw_trace *t, const char *walk)
{
    char title[96];
    snprintf(title, sizeof title, "%s, one tile at a time", t->schedule->name);
    const part parts[] = {{"title", title},
                          {"style", file_text("page.css")},
                          {"script", file_text("page.js")},
                          {"commit", tw_commit()},
                          {"walk", walk}};
    size_t num_parts = sizeof parts / sizeof parts[0],
           bytes = fill_in(NULL, file_text("page.html"), parts, num_parts);
    if (bytes >= TW_STEP_PAGE_MAX_BYTES)
        return tw_fail(
            TW_EUNSUPPORTED,
            "%s: the page would have %zu bytes, it must have fewer than %d: take a shorter --seqlen, a "
            "smaller --head-dim or fewer heads, or --plain",
            path, bytes, TW_STEP_PAGE_MAX_BYTES);
    tw_csv file;
    TW_TRY(tw_csv_open(&file, path));
    fill_in(file.file, file_text("page.html"), parts, num_parts);
    return tw_csv_commit(&file);
}

tw_status tw_step_page_write(const char *path, const tw_trace *trace, size_t start)
{
    json_t *json = walk_json(trace, start);
    /* with slashes escaped, nothing inside can look like the end of the script */
    char *walk = json ? json_dumps(json, JSON_COMPACT | JSON_ESCAPE_SLASH | JSON_ENSURE_ASCII) : NULL;
    json_decref(json);
    if (!walk)
        return tw_fail(TW_ENOMEM, "%s: no memory for the page", path);
    tw_status status = write_page(path, trace, walk);
    free(walk);
    return status;
}
