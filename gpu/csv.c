/* A result file that is there whole or not at all. */
#include "csv.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

tw_status tw_gpu_csv_open(tw_gpu_csv *csv, const char *path)
{
    struct stat info;
    csv->file = NULL;
    if (path == NULL)
        return TW_OK;
    if (strcmp(path, "-") == 0) {
        csv->file = stdout;
        return TW_OK;
    }
    if (strlen(path) >= sizeof csv->path)
        return tw_fail(TW_EIO, "cannot write the CSV: its path has %zu characters", strlen(path));
    if (stat(path, &info) == 0 && S_ISDIR(info.st_mode))
        return tw_fail(TW_EIO, "cannot write %s: it is a folder", path);
    snprintf(csv->path, sizeof csv->path, "%s", path);
    snprintf(csv->temporary, sizeof csv->temporary, "%s.%ld.tmp", path, (long)getpid());
    csv->file = fopen(csv->temporary, "w");
    if (csv->file == NULL)
        return tw_fail(TW_EIO, "cannot write %s: %s", path, strerror(errno));
    return TW_OK;
}

void tw_gpu_csv_case(FILE *file, const char *schedule, const char *machine, const tw_problem *p, const tw_tiling *t,
                     const char *kernel)
{
    fprintf(file, "%s,%s,%d,%d,%d,%d,%d,%d,%s,%d,%d,%d,%s", schedule, machine, p->batch, p->num_heads, p->num_heads_kv,
            p->seqlen_q, p->seqlen_k, p->head_dim, tw_dtype_name(p->dtype), p->causal, t->block_m, t->block_n, kernel);
}

tw_status tw_gpu_csv_commit(tw_gpu_csv *csv)
{
    if (csv->file == NULL)
        return TW_OK;
    if (csv->file == stdout) {
        csv->file = NULL;
        return fflush(stdout) == 0 ? TW_OK : tw_fail(TW_EIO, "cannot write to standard output: %s", strerror(errno));
    }
    int failed = ferror(csv->file) != 0;
    failed |= fclose(csv->file) != 0;
    csv->file = NULL;
    if (!failed && rename(csv->temporary, csv->path) == 0)
        return TW_OK;
    tw_status status = tw_fail(TW_EIO, "cannot write %s: %s", csv->path, strerror(errno));
    unlink(csv->temporary);
    return status;
}

void tw_gpu_csv_abort(tw_gpu_csv *csv)
{
    if (csv->file == NULL || csv->file == stdout)
        return;
    fclose(csv->file);
    unlink(csv->temporary);
    csv->file = NULL;
}
