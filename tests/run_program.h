/* Runs a program as a user would and keeps what it prints and exits with. Include it in one place of a suite. */
#ifndef TW_TESTS_RUN_PROGRAM_H
#define TW_TESTS_RUN_PROGRAM_H

#include <check.h>

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

enum { TEXT_MAX = 1 << 20, ARGS_MAX = 48 };

/* What a program left. */
typedef struct outcome {
    int exit_code;
    char out[TEXT_MAX], err[4096];
} outcome;

static outcome result; /* one at a time: it is large */

static const char *build_folder(void)
{
    const char *folder = getenv("TW_BUILD");
    return folder && *folder ? folder : "build";
}

static void read_back(char *text, size_t size, FILE *file)
{
    rewind(file);
    text[fread(text, 1, size - 1, file)] = '\0';
    fclose(file);
}

/* Runs argv with these as stdin, stdout, stderr; its exit code, 127 if it could not be started. */
static int spawn(char *const *argv, int in, int out, int err)
{
    posix_spawn_file_actions_t actions;
    pid_t pid;
    int status = 0;
    ck_assert_int_eq(posix_spawn_file_actions_init(&actions), 0);
    posix_spawn_file_actions_adddup2(&actions, in, 0);
    posix_spawn_file_actions_adddup2(&actions, out, 1);
    posix_spawn_file_actions_adddup2(&actions, err, 2);
    int failed = posix_spawnp(&pid, argv[0], &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (failed)
        return 127;
    while (waitpid(pid, &status, 0) < 0)
        ck_assert_int_eq(errno, EINTR);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

/* Runs argv with nothing to read; `build/` at its beginning is wherever the program was built. */
static const outcome *run_words(char **argv)
{
    static char program[512];
    if (strncmp(argv[0], "build/", 6) == 0) {
        snprintf(program, sizeof program, "%s/%s", build_folder(), argv[0] + 6);
        argv[0] = program;
    }
    FILE *out = tmpfile(), *err = tmpfile();
    int in = open("/dev/null", O_RDONLY);
    ck_assert(out != NULL && err != NULL && in >= 0);
    result.exit_code = spawn(argv, in, fileno(out), fileno(err));
    close(in);
    read_back(result.out, sizeof result.out, out);
    read_back(result.err, sizeof result.err, err);
    return &result;
}

/* The same for a line of words with a space between them. */
static inline const outcome *run(const char *line)
{
    static char words[4096];
    char *argv[ARGS_MAX] = {NULL};
    int count = 0;
    snprintf(words, sizeof words, "%s", line);
    for (char *word = strtok(words, " "); word && count < ARGS_MAX - 1; word = strtok(NULL, " "))
        argv[count++] = word;
    return run_words(argv);
}

#endif
