/* Reading a submission without trusting it. */
#define _GNU_SOURCE
#include "submission.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct census {
    int files;
    char *why;
    size_t size;
} census;

static bool refuse(const census *c, const char *name, const char *what)
{
    snprintf(c->why, c->size, "'%s' %s", name, what);
    return false;
}

static bool check_folder(census *c, int fd, int depth);

/* NOLINTNEXTLINE(misc-no-recursion): LAB_MAX_DEPTH bounds it */
static bool check_entry(census *c, int folder, const char *name, int depth)
{
    struct stat info;
    if (fstatat(folder, name, &info, AT_SYMLINK_NOFOLLOW) != 0)
        return refuse(c, name, "cannot be looked at");
    if (S_ISLNK(info.st_mode))
        return refuse(c, name, "is a symbolic link: hand in the file itself");
    if (++c->files > LAB_MAX_FILES)
        return refuse(c, name, "is one file too many: hand in only what the handout asks for");
    if (S_ISREG(info.st_mode))
        return true;
    if (!S_ISDIR(info.st_mode))
        return refuse(c, name, "is neither a file nor a folder");
    if (depth >= LAB_MAX_DEPTH)
        return refuse(c, name, "lies too deep in folders");
    int fd = openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? refuse(c, name, "cannot be opened") : check_folder(c, fd, depth + 1);
}

/* Takes fd over. */
/* NOLINTNEXTLINE(misc-no-recursion): LAB_MAX_DEPTH bounds it */
static bool check_folder(census *c, int fd, int depth)
{
    DIR *folder = fdopendir(fd);
    if (!folder) {
        close(fd);
        return refuse(c, "a folder", "cannot be read");
    }
    bool good = true;
    for (struct dirent *entry; good && (entry = readdir(folder)) != NULL;) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            good = check_entry(c, dirfd(folder), entry->d_name, depth);
    }
    closedir(folder);
    return good;
}

static int open_folder(const char *folder, char *why, size_t size)
{
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        snprintf(why, size, "the folder %s cannot be opened: %s", folder, strerror(errno));
    return fd;
}

bool lab_submission_check(const char *folder, char *why, size_t size)
{
    census c = {.why = why, .size = size};
    int fd = open_folder(folder, why, size);
    return fd >= 0 && check_folder(&c, fd, 1);
}

/* Opens a plain file of the folder; its size in *bytes. */
static int open_file(const char *folder, const char *name, size_t *bytes, char *why, size_t size)
{
    int at = open_folder(folder, why, size);
    if (at < 0)
        return -1;
    int fd = openat(at, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    int failure = errno;
    struct stat info;
    close(at);
    if (fd < 0) {
        snprintf(why, size, failure == ENOENT ? "%s is missing%s" : "%s cannot be opened: %s", name,
                 failure == ENOENT ? "" : strerror(failure));
        return -1;
    }
    if (fstat(fd, &info) == 0 && S_ISREG(info.st_mode) && info.st_size <= LAB_MAX_FILE) {
        *bytes = (size_t)info.st_size;
        return fd;
    }
    snprintf(why, size, "%s is not a file of at most %d bytes", name, LAB_MAX_FILE);
    close(fd);
    return -1;
}

static char *read_file(const char *folder, const char *name, size_t *bytes, char *why, size_t size)
{
    int fd = open_file(folder, name, bytes, why, size);
    if (fd < 0)
        return NULL;
    char *text = malloc(*bytes + 1);
    size_t used = 0;
    for (ssize_t n; text && used < *bytes && (n = read(fd, text + used, *bytes - used)) > 0;)
        used += (size_t)n;
    close(fd);
    if (!text) {
        snprintf(why, size, "%s does not fit into memory", name);
        return NULL;
    }
    text[used] = '\0';
    *bytes = used;
    return text;
}

char *lab_submission_text(const char *folder, const char *name, char *why, size_t size)
{
    size_t bytes;
    return read_file(folder, name, &bytes, why, size);
}

bool lab_submission_copy(const char *folder, const char *name, const char *to_folder, char *why, size_t size)
{
    size_t bytes, written = 0;
    char *text = read_file(folder, name, &bytes, why, size);
    if (!text)
        return false;
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", to_folder, name);
    FILE *to = fopen(path, "wb");
    if (to) {
        written = fwrite(text, 1, bytes, to);
        if (fclose(to) != 0)
            written = bytes + 1;
    }
    free(text);
    if (written != bytes || !to)
        snprintf(why, size, "%s cannot be written", path);
    return to && written == bytes && chmod(path, 0644) == 0;
}
