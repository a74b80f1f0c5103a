/* What the tables share. */
#include "markers.h"
#include "tables.h"

#include <stdlib.h>
#include <string.h>

/* ---- lines of code -------------------------------------------------------------------------------------- */

/* Behind a comment or a string that begins at c; *kind is what begins there: '/', '*', a quote, or 0. */
static const char *skip(const char *c, char *kind)
{
    *kind = 0;
    if (c[0] == '/' && (c[1] == '/' || c[1] == '*')) {
        *kind = c[1];
        const char *end = strstr(c + 2, c[1] == '/' ? "\n" : "*/");
        return end == NULL ? c + strlen(c) : c[1] == '/' ? end : end + 2;
    }
    if (c[0] != '"' && c[0] != '\'')
        return c;
    *kind = c[0];
    const char *end = c + 1;
    while (*end != '\0' && *end != *c)
        end += *end == '\\' && end[1] != '\0' ? 2 : 1;
    return *end == '\0' ? end : end + 1;
}

tw_status tw_code_lines(int *lines, const char *path)
{
    char *text;
    bool code = false; /* on the current line */
    TW_TRY(tw_text_read(&text, path));
    *lines = 0;
    for (const char *c = text; *c != '\0';) {
        char kind;
        const char *behind = skip(c, &kind);
        code = code || kind == '"' || kind == '\'' || (kind == 0 && strchr(" \t\r\n", *c) == NULL);
        bool line_ends = kind == 0 ? *c == '\n'
                                   : kind == '*' && memchr(c, '\n', (size_t)(behind - c)) != NULL;
        if (line_ends) {
            *lines += code;
            code = false;
        }
        c = kind == 0 ? c + 1 : behind;
    }
    *lines += code;
    free(text);
    return TW_OK;
}

/* ---- counts and measurements ---------------------------------------------------------------------------- */

tw_status tw_count_kernel(tw_count_result *count, const tw_kernel_claim *kernel, const tw_problem *problem,
                          int block_m, int block_n, const char *machine)
{
    const tw_schedule *schedule;
    tw_machine m;
    tw_tiling tiling = kernel->tiling;
    tiling.block_m = block_m;
    tiling.block_n = block_n;
    TW_TRY(tw_schedule_find(&schedule, kernel->schedule));
    TW_TRY(tw_machine_find(&m, machine));
    return tw_count(count, schedule, problem, &tiling, &m);
}

const tw_measured *tw_measured_find(const tw_measured_list *list, const char *kernel, const tw_problem *p,
                                    int block_m, int block_n)
{
    for (size_t i = 0; i < list->count; i++) {
        const tw_measured *row = &list->rows[i];
        const tw_problem *q = &row->c.problem;
        if (strcmp(row->kernel, kernel) == 0 && q->batch == p->batch && q->num_heads == p->num_heads &&
            q->num_heads_kv == p->num_heads_kv && q->seqlen_q == p->seqlen_q && q->seqlen_k == p->seqlen_k &&
            q->head_dim == p->head_dim && q->dtype == p->dtype && q->causal == p->causal &&
            (block_m == 0 || (row->c.tiling.block_m == block_m && row->c.tiling.block_n == block_n)))
            return row;
    }
    return NULL;
}

void tw_length_name(char *text, size_t size, int n)
{
    snprintf(text, size, n % 1024 == 0 ? "%dk" : "%d", n % 1024 == 0 ? n / 1024 : n);
}
