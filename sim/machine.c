/* Machines are data: .ini files, compiled in by the build or read from the user's disk. */
#include "machine.h"

#include "csv.h"
#include "parse.h"

#include <ini.h>

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const struct {
    const char *name, *text;
} built_in[] = {
#include "machine_files.inc"
};

static const struct {
    const char *name, *meaning;
    size_t value, source; /* offsets into tw_machine */
} numbers[] = {
#define NUMBER(field, what) {#field, what, offsetof(tw_machine, field), offsetof(tw_machine, sources.field)},
    TW_MACHINE_NUMBERS(NUMBER)
#undef NUMBER
};

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

int tw_machine_count(void)
{
    return COUNT(built_in);
}

const char *tw_machine_name(int i)
{
    return i >= 0 && i < COUNT(built_in) ? built_in[i].name : NULL;
}

bool tw_machine_has_l2(const tw_machine *machine)
{
    return machine->kind != TW_MACHINE_PAPER && machine->l2_bytes > 0;
}

const char *tw_machine_caveat(const tw_machine *machine)
{
    return machine->uncalibrated ? ", uncalibrated" : "";
}

const char *tw_machine_number_name(int i)
{
    return i >= 0 && i < COUNT(numbers) ? numbers[i].name : NULL;
}

const char *tw_machine_number_meaning(int i)
{
    return i >= 0 && i < COUNT(numbers) ? numbers[i].meaning : NULL;
}

double tw_machine_number(const tw_machine *machine, int i)
{
    return *(const double *)(const void *)((const char *)machine + numbers[i].value);
}

const tw_machine_source *tw_machine_number_source(const tw_machine *machine, int i)
{
    return (const void *)((const char *)machine + numbers[i].source);
}

/* Numbers of an SM by itself, which one machine may take over from another: cycles, bytes a clock, energies. */
static const char *const fine[] = {
#define NAME(field, what) #field,
    TW_MACHINE_FINE_NUMBERS(NAME) TW_MACHINE_CLOCK_NUMBERS(NAME)
#undef NAME
};

/* What the parser carries from line to line: inih only knows success and failure. */
typedef struct reading {
    tw_machine machine;
    char like[64]; /* machine whose SM this one's is like; "": none */
    bool failed;
    char problem[256];
} reading;

static int complain(reading *r, const char *format, const char *a, const char *b)
{
    if (!r->failed)
        snprintf(r->problem, sizeof r->problem, format, a, b);
    r->failed = true;
    return 0;
}

/* Copies [from, to) without blanks around it; false if it is empty or too long. */
static bool copy_trimmed(char *out, size_t size, const char *from, const char *to)
{
    while (from < to && (*from == ' ' || *from == '\t'))
        from++;
    while (to > from && (to[-1] == ' ' || to[-1] == '\t'))
        to--;
    size_t n = (size_t)(to - from);
    if (n == 0 || n >= size)
        return false;
    memcpy(out, from, n);
    out[n] = '\0';
    return true;
}

static bool looks_like_date(const char *s)
{
    int year, month, day, used = 0;
    return sscanf(s, "%4d-%2d-%2d%n", &year, &month, &day, &used) == 3 && used == 10 && s[10] == '\0' &&
           month >= 1 && month <= 12 && day >= 1 && day <= 31;
}

/* Sizes and counts: whatever their name says to be bytes and not a rate of them. */
static bool must_be_whole(const char *key)
{
    return (strstr(key, "bytes") && !strstr(key, "_per_")) || strcmp(key, "num_sms") == 0;
}

static bool ends_in(const char *name, const char *end)
{
    size_t length = strlen(name), tail = strlen(end);
    return length >= tail && strcmp(name + length - tail, end) == 0;
}

/* Nothing has a size, rate, clock, speed or limit of 0, unless the number's meaning says what that would be. Latencies,
 * spreads and energies may be 0. */
static bool must_be_positive(int which)
{
    const char *name = numbers[which].name;
    bool rate = ends_in(name, "_per_s") || ends_in(name, "_per_clock") || ends_in(name, "_hz");
    bool is_one = rate || must_be_whole(name) || strstr(name, "_speed_") || ends_in(name, "limit_w");
    return is_one && !strstr(numbers[which].meaning, "; 0");
}

static bool in_range(int which, double value)
{
    return isfinite(value) && value <= 1e18 && (must_be_positive(which) ? value > 0 : value >= 0);
}

static const char *range_of(int which)
{
    return must_be_positive(which) ? "above 0, to 1e18" : "from 0 to 1e18";
}

static const char *whole_of(int which)
{
    return strstr(numbers[which].name, "bytes") ? "a whole number of bytes" : "a whole number";
}

/* "value | date | source" */
static int read_number(reading *r, int which, const char *text)
{
    const char *name = numbers[which].name;
    const char *bar = strchr(text, '|'), *bar2 = bar ? strchr(bar + 1, '|') : NULL;
    char number[64];
    tw_machine_source where = {{0}, {0}};
    if (!bar2)
        return complain(r, "%s is '%s', it must be 'value | YYYY-MM-DD | source'", name, text);
    if (!copy_trimmed(number, sizeof number, text, bar))
        return complain(r, "%s has no value in '%s', it must be 'value | YYYY-MM-DD | source'", name, text);
    char *end;
    double value = strtod(number, &end);
    if (*end != '\0' || !in_range(which, value)) {
        char what[128];
        snprintf(what, sizeof what, "%s', it must be a number %s", number, range_of(which));
        return complain(r, "%s is '%s", name, what);
    }
    if (must_be_whole(name) && value != floor(value)) {
        char what[128];
        snprintf(what, sizeof what, "%s', it must be %s", number, whole_of(which));
        return complain(r, "%s is '%s", name, what);
    }
    if (!copy_trimmed(where.date, sizeof where.date, bar + 1, bar2) || !looks_like_date(where.date))
        return complain(r, "%s has no date YYYY-MM-DD in '%s'", name, text);
    if (!copy_trimmed(where.source, sizeof where.source, bar2 + 1, bar2 + 1 + strlen(bar2 + 1)))
        return complain(r, "%s has no source (or one over 159 characters) in '%s'", name, text);
    memcpy((char *)&r->machine + numbers[which].value, &value, sizeof value);
    memcpy((char *)&r->machine + numbers[which].source, &where, sizeof where);
    return 1;
}

tw_status tw_machine_set_number(tw_machine *machine, const char *number, double value, const char *date,
                                const char *source)
{
    reading r = {.machine = *machine};
    char text[256];
    int which = 0;
    while (which < COUNT(numbers) && strcmp(numbers[which].name, number) != 0)
        which++;
    if (which == COUNT(numbers))
        return tw_fail(TW_EINVAL, "'%s' is no number of a machine; sim/machine.h lists them", number);
    snprintf(text, sizeof text, "%.17g | %s | %s", value, date, source);
    if (!read_number(&r, which, text))
        return tw_fail(TW_EINVAL, "%s", r.problem);
    *machine = r.machine;
    return TW_OK;
}

static int read_kind(reading *r, const char *text)
{
    static const char *const kinds[] = {"paper", "gpu", "cpu"}; /* in the order of tw_machine_kind */
    for (int i = 0; i < COUNT(kinds); i++) {
        if (strcmp(text, kinds[i]) == 0) {
            r->machine.kind = (tw_machine_kind)i;
            return 1;
        }
    }
    return complain(r, "kind is '%s', it must be paper, gpu or cpu%s", text, "");
}

static int read_calibrated(reading *r, const char *text)
{
    if (strcmp(text, "yes") != 0 && strcmp(text, "no") != 0)
        return complain(r, "calibrated is '%s', it must be yes or no%s", text, "");
    r->machine.uncalibrated = strcmp(text, "no") == 0;
    return 1;
}

static int on_line(void *user, const char *section, const char *key, const char *value)
{
    reading *r = user;
    if (strcmp(section, "machine") != 0)
        return complain(r, "section is [%s], it must be [machine]%s", section, "");
    if (strcmp(key, "kind") == 0)
        return read_kind(r, value);
    if (strcmp(key, "calibrated") == 0)
        return read_calibrated(r, value);
    if (strcmp(key, "sm_like") == 0)
        return copy_trimmed(r->like, sizeof r->like, value, value + strlen(value)) ||
               complain(r, "sm_like is '%s', it must be the name of a machine%s", value, "");
    if (strcmp(key, "description") == 0) {
        if (copy_trimmed(r->machine.description, sizeof r->machine.description, value, value + strlen(value)))
            return 1;
        return complain(r, "description is '%s', it must have 1 to 159 characters%s", value, "");
    }
    for (int i = 0; i < COUNT(numbers); i++)
        if (strcmp(key, numbers[i].name) == 0)
            return read_number(r, i, value);
    return complain(r, "'%s' is no number of a machine; sim/machine.h lists them%s", key, "");
}

/* A rate of the whole chip, or a size: not a matter of the SM. */
static bool is_of_chip(const char *name)
{
    size_t length = strlen(name);
    return strstr(name, "per_s") || strstr(name, "_hz") || strstr(name, "private") || strstr(name, "share") ||
           (length > 2 && strcmp(name + length - 2, "_s") == 0);
}

/* Fills in what a file leaves open about its SM. */
static tw_status take_over(tw_machine *machine, const char *like, const char *name)
{
    tw_machine other;
    if (strcmp(like, name) == 0 || strchr(like, '/'))
        return tw_fail(TW_EFORMAT, "machine '%s' has sm_like = %s, it must be another built-in machine", name,
                       like);
    TW_TRY(tw_machine_find(&other, like));
    for (int i = 0; i < COUNT(fine); i++) {
        int which = 0;
        char source[64];
        while (strcmp(numbers[which].name, fine[i]) != 0)
            which++;
        double own = tw_machine_number(machine, which), value = tw_machine_number(&other, which);
        if (own > 0 || value <= 0 || is_of_chip(fine[i]))
            continue;
        snprintf(source, sizeof source, "as the %.40s", like);
        TW_TRY(tw_machine_set_number(machine, fine[i], value, tw_machine_number_source(&other, which)->date,
                                     source));
    }
    return TW_OK;
}

static tw_status check_sides(const tw_machine *m)
{
    if (m->l2_sides != 0 && m->l2_sides != 1 && m->l2_sides != 2)
        return tw_fail(TW_EFORMAT, "machine '%s' has %g l2_sides, it must have 1 or 2", m->name, m->l2_sides);
    return TW_OK;
}

static tw_status finish(tw_machine *machine, const reading *r, int parsed, const char *name)
{
    if (parsed > 0)
        return tw_fail(TW_EFORMAT, "machine '%s', line %d: %s", name, parsed,
                       r->failed ? r->problem : "not a line of the form 'key = value | date | source'");
    if (parsed < 0)
        return tw_fail(TW_EIO, "machine file '%s' cannot be read: %s", name, strerror(errno));
    if (r->machine.smem_bytes < 1)
        return tw_fail(TW_EFORMAT, "machine '%s' has no smem_bytes, it must say how much fits on chip", name);
    if (r->machine.kind == TW_MACHINE_GPU && r->machine.register_bytes_per_sm < 1)
        return tw_fail(TW_EFORMAT, "machine '%s' has no register_bytes_per_sm, a gpu must have it", name);
    if (r->machine.kind == TW_MACHINE_GPU && r->machine.num_sms < 1)
        return tw_fail(TW_EFORMAT, "machine '%s' has no num_sms, a gpu must have it", name);
    tw_machine complete = r->machine;
    TW_TRY(check_sides(&r->machine));
    if (*r->like)
        TW_TRY(take_over(&complete, r->like, name));
    *machine = complete;
    return TW_OK;
}

/* A machine is named after its file. The name is a field of CSV files, so it has nothing that ends one. */
static tw_status name_after(char *name, size_t size, const char *path)
{
    const char *base = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
    size_t length = strlen(base);
    for (const char *c = base; *c != '\0'; c++)
        if (*c == ',' || *c == '"' || iscntrl((unsigned char)*c))
            return tw_fail(
                TW_EINVAL,
                "machine file '%s' has a comma, a quote or a control character in its name, it must be "
                "called otherwise: the name becomes a field of CSV files",
                tw_quote(base).text);
    if (length > 4 && strcmp(base + length - 4, ".ini") == 0)
        length -= 4;
    snprintf(name, size, "%.*s", (int)length, base);
    return TW_OK;
}

tw_status tw_machine_check_path(const char *path)
{
    char name[64];
    size_t length = strlen(path);
    if (length < 5 || strcmp(path + length - 4, ".ini") != 0 || path[length - 5] == '/')
        return tw_fail(TW_EINVAL,
                       "machine file '%s' must end in .ini, as in my-gpu.ini, so that --machine takes it",
                       tw_quote(path).text);
    return name_after(name, sizeof name, path);
}

static tw_status read_file(tw_machine *machine, const char *path)
{
    reading r = {.failed = false};
    FILE *file;
    TW_TRY(name_after(r.machine.name, sizeof r.machine.name, path));
    TW_TRY(tw_open_to_read(&file, path, "a machine file"));
    int parsed = ini_parse_file(file, on_line, &r);
    fclose(file);
    return finish(machine, &r, parsed, path);
}

static tw_status no_such_machine(const char *name)
{
    char list[256] = "";
    for (int i = 0; i < COUNT(built_in); i++) {
        size_t used = strlen(list);
        snprintf(list + used, sizeof list - used, "%s%s", i ? ", " : "", built_in[i].name);
    }
    return tw_fail(TW_EINVAL, "machine is '%s', it must be one of %s, or a file ending in .ini", name, list);
}

tw_status tw_machine_find(tw_machine *machine, const char *name)
{
    size_t length = strlen(name);
    if (strchr(name, '/') || (length > 4 && strcmp(name + length - 4, ".ini") == 0))
        return read_file(machine, name);
    for (int i = 0; i < COUNT(built_in); i++) {
        if (strcmp(name, built_in[i].name) != 0)
            continue;
        reading r = {.failed = false};
        snprintf(r.machine.name, sizeof r.machine.name, "%s", name);
        return finish(machine, &r, ini_parse_string(built_in[i].text, on_line, &r), name);
    }
    return no_such_machine(name);
}

/* "30M" of an assignment: a number, then k or M or nothing. False if it is something else. */
static bool read_with_suffix(double *value, int which, const char *text)
{
    char *end;
    double number = strtod(text, &end);
    double factor = strcmp(end, "k") == 0 ? 1024.0 : strcmp(end, "M") == 0 ? 1048576.0 : 1.0;
    *value = number * factor;
    return end != text && (*end == '\0' || factor != 1.0) && in_range(which, *value);
}

tw_status tw_machine_set(tw_machine *machine, const char *assignment)
{
    size_t length = strcspn(assignment, "=");
    int which = 0;
    double value;
    tw_machine changed = *machine;
    while (which < COUNT(numbers) &&
           !(strlen(numbers[which].name) == length && strncmp(numbers[which].name, assignment, length) == 0))
        which++;
    if (assignment[length] != '=' || which == COUNT(numbers))
        return tw_fail(TW_EINVAL, "--set is '%s', it must be KEY=VALUE with a key of sim/machine.h",
                       tw_quote(assignment).text);
    bool whole = must_be_whole(numbers[which].name);
    if (!read_with_suffix(&value, which, assignment + length + 1) || (whole && value != floor(value)))
        return tw_fail(TW_EINVAL, "--set is '%s', the value must be %s %s, as in 50M or 0.01",
                       tw_quote(assignment).text, whole ? whole_of(which) : "a number", range_of(which));
    const tw_machine_source user = {"", "given by the user"};
    memcpy((char *)&changed + numbers[which].value, &value, sizeof value);
    memcpy((char *)&changed + numbers[which].source, &user, sizeof user);
    TW_TRY(check_sides(&changed));
    *machine = changed;
    return TW_OK;
}
