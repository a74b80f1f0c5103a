/* Compiling a submission, confined like everything else of it. */
#define _GNU_SOURCE
#include "submission.h"
#include "workshop.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* Everything the compiler prints, up to `size` bytes, until it ends or its time is up; true in the former case. */
static bool hear_out(const lab_process *process, double deadline, char *text, size_t size)
{
    size_t used = 0;
    char overflow[4096] = "";
    for (;;) {
        struct pollfd end = {.fd = process->output, .events = POLLIN};
        if (poll(&end, 1, lab_milliseconds_until(deadline)) <= 0)
            return false;
        bool room = used + 1 < size;
        ssize_t n = read(process->output, room ? text + used : overflow,
                         room ? size - 1 - used : sizeof overflow);
        if (n <= 0)
            return true;
        if (room)
            used += (size_t)n;
        text[used] = '\0';
    }
}

/* The first error of the compiler's output, without our folder's name; else its first line. */
static void first_error(const char *text, const char *folder, char *why, size_t size)
{
    static const char *const marks[] = {"undefined reference", "multiple definition", "error:", ""};
    const char *at = NULL;
    for (int i = 0; !at; i++)
        at = strstr(text, marks[i]);
    while (at > text && at[-1] != '\n')
        at--;
    if (strncmp(at, folder, strlen(folder)) == 0)
        at += strlen(folder) + 1;
    int length = (int)strcspn(at, "\n");
    snprintf(why, size, "it does not compile: %.*s",
             length == 0    ? 400
             : length < 400 ? length
                            : 400,
             length ? at : "the compiler ran out of time or memory");
}

static bool compile(lab_workshop *shop, const char *source, char *why, size_t size)
{
    char file[PATH_MAX], text[16384] = "";
    snprintf(file, sizeof file, "{in}/%s", source);
    const char *const argv[] = {"/usr/bin/env", shop->compiler, "-std=c11",          "-O1", "-g",
                                "-static",      "-w",           "-ffp-contract=off", "-o",  "{out}/worker",
                                "-I{in}",       file,           "{in}/worker.o",     "-lm", NULL};
    lab_command command = {
        .how = shop->how,
        .kit = shop->kit,
        .readable = shop->in,
        .writable = shop->out,
        .with_system = true,
        .argv = argv,
        .limits = {.cpu_s = 10, .processes = 24, .memory_bytes = 1ll << 30, .file_bytes = 1 << 26}};
    lab_process process;
    if (!lab_confine_start(&process, &command, why, size))
        return false;
    bool ended = hear_out(&process, lab_now() + 10.0, text, sizeof text);
    if (ended)
        lab_confine_wait(&process, 2.0);
    int status = lab_confine_stop(&process);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return true;
    if (ended)
        first_error(text, shop->how == LAB_BWRAP ? "/in" : shop->in, why, size);
    else
        snprintf(why, size, "it does not compile within 10 seconds");
    return false;
}

static int is_header(const struct dirent *entry)
{
    size_t length = strlen(entry->d_name);
    return length > 2 && strcmp(entry->d_name + length - 2, ".h") == 0;
}

/* The files of the kit that a lab's worker needs, beside the student's: headers and one object. */
static bool copy_kit(lab_workshop *shop, int lab, char *why, size_t size)
{
    char folder[PATH_MAX];
    struct dirent **headers;
    snprintf(folder, sizeof folder, "%s/lab%d", shop->kit, lab);
    int n = scandir(folder, &headers, is_header, alphasort);
    bool good = n > 0 && lab_submission_copy(folder, "worker.o", shop->in, why, size);
    for (int i = 0; i < n; i++) {
        good = good && lab_submission_copy(folder, headers[i]->d_name, shop->in, why, size);
        free(headers[i]);
    }
    if (n >= 0)
        free(headers);
    if (n <= 0)
        snprintf(why, size, "the kit in %s is not complete", folder);
    return good;
}

bool lab_workshop_build(lab_workshop *shop, int lab, const char *submission, const char *source, char *why,
                        size_t size)
{
    char from[PATH_MAX + 8], to[PATH_MAX + 8];
    if (!copy_kit(shop, lab, why, size) || !lab_submission_copy(submission, source, shop->in, why, size) ||
        !compile(shop, source, why, size))
        return false;
    /* What the compiler wrote is moved to where nobody but us can change it. */
    struct stat info;
    snprintf(from, sizeof from, "%s/worker", shop->out);
    snprintf(to, sizeof to, "%s/worker", shop->run);
    if (lstat(from, &info) == 0 && S_ISREG(info.st_mode) && rename(from, to) == 0 &&
        chown(to, geteuid(), getegid()) == 0 && chmod(to, 0755) == 0)
        return true;
    snprintf(why, size, "the compiled program cannot be taken over: %s", strerror(errno));
    return false;
}
