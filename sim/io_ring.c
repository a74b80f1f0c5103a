/* What `tilewise io` says of attention that is spread over memories, under its table of counts. */
#include "io_ring.h"

#include "ring.h"
#include "table.h"

#include <math.h>
#include <stdlib.h>

enum {
    COL_LENGTH,
    COL_ALGORITHM,
    COL_PARTS,
    COL_ROWS,
    COL_LINK,
    COL_PASS,
    COL_MEAN,
    COL_SLOWEST,
    COL_TIME,
    COL_EXPOSED,
    COL_FROM
};

static tw_table ring_table(void)
{
    tw_table t = {.num_columns = 0};
    tw_table_column(&t, "seqlen", "", false);
    tw_table_column(&t, "algorithm", "", true);
    tw_table_column(&t, "parts", "", false);
    tw_table_column(&t, "keys", "a part", false);
    tw_table_column(&t, "link", "MB", false);
    tw_table_column(&t, "a part", "link us", false);
    tw_table_column(&t, "mean", "work us", false);
    tw_table_column(&t, "slowest", "work us", false);
    tw_table_column(&t, "all steps", "us", false);
    tw_table_column(&t, "waiting", "%", false);
    tw_table_column(&t, "hidden from", "rows", false);
    return t;
}

static tw_status add_ring(tw_table *t, const tw_counted *counted, const tw_machine *machine)
{
    const tw_case *c = &counted->c;
    tw_ring_time time;
    TW_TRY(tw_ring_time_of(&time, c->schedule, &c->problem, &c->tiling, machine));
    tw_table_row(t);
    tw_table_cell(t, COL_LENGTH, "%d", c->problem.seqlen_k);
    tw_table_cell(t, COL_ALGORITHM, "%s", c->schedule->name);
    tw_table_cell(t, COL_PARTS, "%d", time.parts);
    tw_table_number(t, COL_ROWS, ceil((double)c->problem.seqlen_k / time.parts), 0);
    tw_table_number(t, COL_LINK, (double)time.link_bytes / 1e6, 3);
    tw_table_number(t, COL_MEAN, time.mean_s * 1e6, 1);
    tw_table_number(t, COL_SLOWEST, time.slowest_s * 1e6, 1);
    if (!time.link_known) {
        tw_table_cell(t, COL_PASS, "not known");
        return TW_OK;
    }
    tw_table_number(t, COL_PASS, time.link_s * 1e6, 1);
    tw_table_number(t, COL_TIME, time.time_s * 1e6, 1);
    tw_table_cell(t, COL_EXPOSED, "%.1f", 100.0 * time.exposed_s / time.time_s);
    tw_table_number(t, COL_FROM, ceil(time.threshold), 0);
    return TW_OK;
}

tw_status tw_io_ring_print(FILE *out, const tw_counted *cases, size_t count, const tw_machine *machine)
{
    tw_table t = ring_table();
    for (size_t i = 0; i < count; i++) {
        if (cases[i].c.schedule->launches[0].spread == TW_SPREAD_NONE)
            continue;
        tw_status status = add_ring(&t, &cases[i], machine);
        if (status != TW_OK) {
            free(t.cells);
            return status == TW_EUNSUPPORTED ? TW_OK : status; /* no rates, so no times */
        }
    }
    if (t.num_rows == 0)
        return TW_OK;
    fprintf(out, "\nOver the link: work by the roofline, a mean step of the mean and of the slowest device; "
                 "a part is passed "
                 "on while there is work\n\n");
    return tw_table_print(&t, out);
}
