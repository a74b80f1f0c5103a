/* tilewise diagram: schedules as pictures, drawn from the stream that they emit. */
#include "commands.h"
#include "csv.h"
#include "diagram.h"

#include <stddef.h>

static const char summary[] = "draws schedules: which tiles stay on chip, which stream past, what HBM sees";

typedef struct diagram_options {
    tw_options shared;
    char *svg;
} diagram_options;

static const tw_option own[] = {
    {"svg", "FILE|-", TW_OPTION_TEXT, offsetof(diagram_options, svg), 0,
     "write the picture; - writes it to stdout"},
};

static tw_status diagram(const diagram_options *o)
{
    const tw_algorithm_list *named = &o->shared.algorithms;
    const tw_schedule *all[TW_ALGORITHMS_MAX];
    int count = 0;
    tw_csv file;
    if (!o->svg)
        return tw_fail(TW_EINVAL, "--svg is missing, it must name the picture, as in --svg family.svg");
    for (int i = 0; named->count == 0 && i < tw_schedule_count() && count < TW_ALGORITHMS_MAX; i++)
        all[count++] = tw_schedule_at(i);
    for (int i = 0; i < named->count; i++)
        all[count++] = named->values[i];
    TW_TRY(tw_csv_open(&file, o->svg));
    tw_status status = tw_diagram_write(file.file, all, count);
    if (status != TW_OK)
        return status;
    return tw_csv_commit(&file);
}

int tw_cmd_diagram(int argc, char **argv)
{
    diagram_options o = {.shared = tw_options_default()};
    tw_option_set sets[] = {{own, sizeof own / sizeof own[0], &o, 0},
                            tw_options_shared(&o.shared, TW_GROUP_ALGORITHM)};
    bool help;
    tw_status status = tw_options_read(&help, "tilewise diagram", summary, sets, 2, argc, argv);
    if (status == TW_OK && !help)
        status = diagram(&o);
    tw_options_free(sets, 2);
    return tw_exit_code(status);
}
