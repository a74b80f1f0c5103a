/* Runs the built program as a user would, and keeps everything that it says. */
#define _DEFAULT_SOURCE /* wait4() */
#include "support_process.h"

#include <check.h>
#include <dirent.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

enum { MAX_WORDS = 64, MAX_LINE = 4096 };

const char *tw_build_folder(void)
{
    const char *folder = getenv("TW_BUILD");
    return folder && *folder ? folder : "build";
}

bool tw_sanitized(void)
{
    return strstr(tw_build_folder(), "sanitize") != NULL;
}

static char *content_of(FILE *file)
{
    rewind(file);
    size_t used = 0, size = 1 << 16;
    char *text = malloc(size);
    ck_assert_ptr_nonnull(text);
    for (size_t n; (n = fread(text + used, 1, size - used - 1, file)) > 0;) {
        used += n;
        if (size - used >= 4096)
            continue;
        char *larger = realloc(text, size *= 2);
        ck_assert_ptr_nonnull(larger);
        text = larger;
    }
    text[used] = '\0';
    fclose(file);
    return text;
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Streams go to unnamed files, so that however much is said, nobody waits for anybody. */
static double seconds_of(struct timeval t)
{
    return (double)t.tv_sec + 1e-6 * (double)t.tv_usec;
}

tw_process tw_run(char **words)
{
    FILE *out = tmpfile(), *err = tmpfile();
    ck_assert(out != NULL && err != NULL);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", 0, 0);
    posix_spawn_file_actions_adddup2(&actions, fileno(out), 1);
    posix_spawn_file_actions_adddup2(&actions, fileno(err), 2);
    pid_t pid;
    double begin = now();
    int failed = posix_spawnp(&pid, words[0], &actions, NULL, words, environ);
    posix_spawn_file_actions_destroy(&actions);
    ck_assert_msg(failed == 0, "cannot start %s: %s", words[0], strerror(failed));
    int status;
    struct rusage usage;
    ck_assert_int_eq(wait4(pid, &status, 0, &usage), pid);
    return (tw_process){.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1,
                        .out = content_of(out),
                        .err = content_of(err),
                        .seconds = now() - begin,
                        .cpu_seconds = seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime),
                        .max_rss_kib = usage.ru_maxrss};
}

tw_process tw_tilewise(const char *line)
{
    char program[512], copy[MAX_LINE], *words[MAX_WORDS + 2] = {program};
    int count = 1;
    snprintf(program, sizeof program, "%s/tilewise", tw_build_folder());
    ck_assert_msg(strlen(line) < sizeof copy, "a test's command line is too long");
    memcpy(copy, line, strlen(line) + 1);
    for (char *word = strtok(copy, " "); word; word = strtok(NULL, " ")) {
        ck_assert_int_lt(count, MAX_WORDS);
        words[count++] = word;
    }
    return tw_run(words);
}

tw_process tw_tilewise_f(const char *format, ...)
{
    char line[MAX_LINE];
    va_list args;
    va_start(args, format);
    int length = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    ck_assert_msg(length >= 0 && length < MAX_LINE, "a test's command line is too long");
    return tw_tilewise(line);
}

void tw_process_free(tw_process *process)
{
    free(process->out);
    free(process->err);
    *process = (tw_process){.out = NULL};
}

void tw_expect_refusal(const char *line, const char *words)
{
    tw_process p = tw_tilewise(line);
    char word[256];
    ck_assert_msg(p.exit_code == 2, "'%s' exits with %d, it must be refused with 2: %s", line, p.exit_code,
                  p.err);
    ck_assert_msg(*p.out == '\0', "'%s' is refused, but prints: %s", line, p.out);
    ck_assert_msg(strncmp(p.err, "tilewise: ", 10) == 0, "'%s' says '%s'", line, p.err);
    char *newline = strchr(p.err, '\n');
    ck_assert_msg(newline && newline[1] == '\0', "'%s' does not say one line: %s", line, p.err);
    for (const char *c = words; *c != '\0'; c += *c == '|') {
        size_t length = strcspn(c, "|");
        ck_assert_uint_lt(length, sizeof word);
        memcpy(word, c, length);
        word[length] = '\0';
        ck_assert_msg(strstr(p.err, word) != NULL, "'%s' says '%s', which does not mention '%s'", line, p.err,
                      word);
        c += length;
    }
    tw_process_free(&p);
}

tw_process tw_expect_exit(int exit_code, const char *line)
{
    tw_process p = tw_tilewise(line);
    ck_assert_msg(p.exit_code == exit_code, "'%s' exits with %d instead of %d: %s%s", line, p.exit_code,
                  exit_code, p.err, p.out);
    ck_assert_msg(*p.err == '\0', "'%s' says '%s'", line, p.err);
    return p;
}

const char *tw_new_folder(void)
{
    static char folder[600];
    snprintf(folder, sizeof folder, "%s/tests/folder.XXXXXX", tw_build_folder());
    ck_assert_msg(mkdtemp(folder) != NULL, "cannot make the folder %s", folder);
    return folder;
}

int tw_files_in(const char *folder)
{
    DIR *open = opendir(folder);
    ck_assert_ptr_nonnull(open);
    int count = 0;
    for (struct dirent *entry; (entry = readdir(open)) != NULL;)
        count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    closedir(open);
    return count;
}

void tw_write_text(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    ck_assert_msg(file != NULL, "cannot write %s", path);
    ck_assert_int_ge(fputs(text, file), 0);
    ck_assert_int_eq(fclose(file), 0);
}

void tw_remove_folder(const char *folder)
{
    char path[1024];
    DIR *open = opendir(folder);
    ck_assert_ptr_nonnull(open);
    for (struct dirent *entry; (entry = readdir(open)) != NULL;) {
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            remove(path);
    }
    closedir(open);
    ck_assert_int_eq(rmdir(folder), 0);
}
