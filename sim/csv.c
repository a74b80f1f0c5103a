/* CSV files that are there completely or not at all. */
#define _XOPEN_SOURCE 700 /* realpath() */
#include "csv.h"

#include "version.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static tw_status cannot_write(const char *path)
{
    return tw_fail(TW_EIO, "%s: cannot be written (%s), it must be a file in a folder that may be written to",
                   path, strerror(errno));
}

tw_status tw_check_writable(const char *path)
{
    struct stat info;
    bool exists = stat(path, &info) == 0;
    if (exists && S_ISDIR(info.st_mode))
        return tw_fail(TW_EIO, "%s: is a folder, it must be a file or not exist yet", path);
    if (exists)
        return access(path, W_OK) == 0 ? TW_OK : cannot_write(path);
    char *folder = strdup(path);
    if (!folder)
        return tw_fail(TW_ENOMEM, "%s: no memory for a file name", path);
    char *slash = strrchr(folder, '/');
    if (slash)
        slash[1] = '\0'; /* "/x" is in "/", "a/x" in "a/" */
    tw_status status = access(slash ? folder : ".", W_OK | X_OK) == 0 ? TW_OK : cannot_write(path);
    free(folder);
    return status;
}

/* The folder that a path's file is in; false if that is not there. */
static bool stat_folder(struct stat *info, const char *path)
{
    char folder[4096] = ".";
    const char *slash = strrchr(path, '/');
    if (slash && (size_t)(slash - path) + 2 > sizeof folder)
        return false;
    if (slash)
        snprintf(folder, sizeof folder, "%.*s", (int)(slash - path) + 1, path);
    return stat(folder, info) == 0;
}

bool tw_same_file(const char *a, const char *b)
{
    struct stat at_a, at_b;
    bool a_exists = stat(a, &at_a) == 0, b_exists = stat(b, &at_b) == 0;
    if (strcmp(a, b) == 0)
        return true;
    if (a_exists != b_exists)
        return false;
    if (!a_exists) {
        const char *a_slash = strrchr(a, '/'), *b_slash = strrchr(b, '/');
        if (strcmp(a_slash ? a_slash + 1 : a, b_slash ? b_slash + 1 : b) != 0 || !stat_folder(&at_a, a) ||
            !stat_folder(&at_b, b))
            return false;
    }
    return at_a.st_dev == at_b.st_dev && at_a.st_ino == at_b.st_ino;
}

tw_status tw_open_to_read(FILE **file, const char *path, const char *what)
{
    struct stat info = {0};
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return tw_fail(TW_EIO, "%s: cannot be opened (%s), it must be %s", path, strerror(errno), what);
    bool regular = fstat(fd, &info) == 0 && S_ISREG(info.st_mode);
    *file = regular ? fdopen(fd, "r") : NULL;
    if (*file)
        return TW_OK;
    close(fd);
    if (regular)
        return tw_fail(TW_ENOMEM, "%s: no memory to read it", path);
    return tw_fail(TW_EIO, "%s: is %s, it must be %s", path,
                   S_ISDIR(info.st_mode) ? "a folder" : "not a regular file", what);
}

/* A device or a pipe has no content to protect, and must not be renamed over. */
static tw_status open_device(tw_csv *csv, const char *path)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
    csv->file = fd < 0 ? NULL : fdopen(fd, "w");
    if (csv->file)
        return TW_OK;
    tw_status status = cannot_write(path);
    if (fd >= 0)
        close(fd);
    return status;
}

/* A name that nobody has, beside the target, where a rename cannot cross a file system. */
static tw_status open_temporary(tw_csv *csv, const char *path)
{
    size_t size = strlen(csv->path) + 64;
    csv->temporary = malloc(size);
    if (!csv->temporary)
        return tw_fail(TW_ENOMEM, "%s: no memory for a file name", path);
    int fd = -1;
    for (int attempt = 0; attempt < 100 && fd < 0; attempt++) {
        snprintf(csv->temporary, size, "%s.%ld-%d.tmp", csv->path, (long)getpid(), attempt);
        fd = open(csv->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd < 0 && errno != EEXIST)
            break;
    }
    csv->file = fd < 0 ? NULL : fdopen(fd, "w");
    if (csv->file)
        return TW_OK;
    tw_status status = cannot_write(path);
    if (fd >= 0) {
        close(fd);
        unlink(csv->temporary);
    }
    free(csv->temporary);
    csv->temporary = NULL;
    return status;
}

tw_status tw_csv_open(tw_csv *csv, const char *path)
{
    *csv = (tw_csv){.file = NULL};
    if (!path)
        return TW_OK;
    if (strcmp(path, "-") == 0) {
        csv->file = stdout;
        return TW_OK;
    }
    struct stat info;
    TW_TRY(tw_check_writable(path));
    bool exists = stat(path, &info) == 0;
    bool device = exists && !S_ISREG(info.st_mode);
    csv->path = exists && !device ? realpath(path, NULL) : strdup(path); /* of a link, what it points to */
    if (!csv->path)
        return tw_fail(TW_ENOMEM, "%s: no memory for a file name", path);
    tw_status status = device ? open_device(csv, path) : open_temporary(csv, path);
    if (status != TW_OK)
        tw_csv_discard(csv);
    return status;
}

void tw_csv_header(const tw_csv *csv, const char *command, int argc, char *const *argv)
{
    if (!csv->file)
        return;
    fprintf(csv->file, "# %s, commit %s\n# command: %s", command, tw_commit(), command);
    for (int i = 1; i < argc; i++) {
        fputc(' ', csv->file);
        for (const char *c = argv[i]; *c != '\0'; c++)
            fputc(iscntrl((unsigned char)*c) ? '?' : *c, csv->file);
    }
    fputc('\n', csv->file);
}

tw_status tw_csv_commit(tw_csv *csv)
{
    if (!csv->file)
        return TW_OK;
    bool failed = fflush(csv->file) != 0 || ferror(csv->file);
    if (csv->file == stdout) {
        csv->file = NULL;
        return failed ? tw_fail(TW_EIO, "stdout cannot be written (%s)", strerror(errno)) : TW_OK;
    }
    failed = fclose(csv->file) != 0 || failed;
    csv->file = NULL;
    tw_status status = failed ? cannot_write(csv->path) : TW_OK;
    if (status == TW_OK && csv->temporary && rename(csv->temporary, csv->path) != 0)
        status = cannot_write(csv->path);
    if (status == TW_OK) {
        free(csv->temporary);
        csv->temporary = NULL;
    }
    tw_csv_discard(csv);
    return status;
}

void tw_csv_discard(tw_csv *csv)
{
    if (csv->file && csv->file != stdout)
        fclose(csv->file);
    if (csv->temporary)
        unlink(csv->temporary);
    free(csv->temporary);
    free(csv->path);
    *csv = (tw_csv){.file = NULL};
}
