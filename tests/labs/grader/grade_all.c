/*
 * A folder of submissions to one CSV file. Each is graded in a process of its own, which hands its row back through a
 * pipe; the file is rewritten beside itself and renamed, so that it is whole at any moment, and what is in it already
 * is not graded again.
 */
#define _GNU_SOURCE
#include "grade.h"
#include "grades.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MAX_JOBS = 64, MAX_ROW = 64 * 1024 };

typedef struct job {
    pid_t pid;
    int pipe;
    const char *name;
    char row[MAX_ROW];
    size_t used;
} job;

typedef struct batch {
    const lab_course *course;
    const char *folder;
    lab_grades grades;
    struct dirent **names;
    int num_names, next, failed, graded, before; /* before: has a row already */
    job jobs[MAX_JOBS];
    int num_jobs;
} batch;

/* ---- jobs ------------------------------------------------------------------------------------------------ */

/* In the child: grades, writes the row, and is gone. */
static void do_job(const batch *b, const char *name, int to)
{
    static lab_report report;
    char path[4096], why[500];
    struct stat info;
    lab_course course = *b->course;
    snprintf(path, sizeof path, "%s/%s", b->folder, name);
    memset(&report, 0, sizeof report);
    FILE *out = fdopen(to, "w");
    if (!out)
        _exit(1);
    if (lstat(path, &info) == 0 && S_ISLNK(info.st_mode)) {
        lab_lose(lab_report_item(&report, 100, "the submission as a whole"), "'%s' is a symbolic link", name);
    } else if (!lab_grade(&report, &course, path, why, sizeof why)) {
        fprintf(stderr, "%s: not graded: %s\n", name, why);
        _exit(1);
    }
    lab_grades_put(out, name, &report);
    _exit(fclose(out) == 0 ? 0 : 1);
}

static void start_job(batch *b, const char *name)
{
    int ends[2];
    if (pipe(ends) != 0) {
        b->failed++;
        return;
    }
    pid_t pid = fork();
    if (pid == 0) {
        close(ends[0]);
        do_job(b, name, ends[1]);
    }
    close(ends[1]);
    if (pid < 0) {
        close(ends[0]);
        b->failed++;
        return;
    }
    job *started = &b->jobs[b->num_jobs++];
    started->pid = pid;
    started->pipe = ends[0];
    started->name = name;
    started->used = 0;
}

static void end_job(batch *b, int i)
{
    job done = b->jobs[i];
    int status = 0;
    close(done.pipe);
    while (waitpid(done.pid, &status, 0) < 0 && errno == EINTR)
        ;
    b->jobs[i] = b->jobs[--b->num_jobs];
    bool good = WIFEXITED(status) && WEXITSTATUS(status) == 0 && done.used > 0 &&
                lab_grades_append(&b->grades, done.row, done.used) && lab_grades_save(&b->grades);
    b->failed += !good;
    b->graded += good;
    fprintf(stderr, "%4d of %d  %s%s\n", b->graded + b->failed, b->num_names, done.name,
            good ? "" : ": not graded");
}

/* Waits until a job says something or ends. */
static void attend(batch *b)
{
    struct pollfd ends[MAX_JOBS];
    for (int i = 0; i < b->num_jobs; i++)
        ends[i] = (struct pollfd){.fd = b->jobs[i].pipe, .events = POLLIN};
    if (poll(ends, (nfds_t)b->num_jobs, -1) <= 0)
        return;
    for (int i = b->num_jobs - 1; i >= 0; i--) {
        job *j = &b->jobs[i];
        if (!ends[i].revents)
            continue;
        ssize_t n = j->used < MAX_ROW ? read(j->pipe, j->row + j->used, MAX_ROW - j->used) : 0;
        if (n > 0)
            j->used += (size_t)n;
        else
            end_job(b, i);
    }
}

static const batch *listed; /* scandir's filter has no argument of its own */

static int is_submission(const struct dirent *entry)
{
    char path[4096];
    struct stat info;
    snprintf(path, sizeof path, "%s/%s", listed->folder, entry->d_name);
    return entry->d_name[0] != '.' && lstat(path, &info) == 0 &&
           (S_ISDIR(info.st_mode) || S_ISLNK(info.st_mode));
}

/* What has a row already is not graded again. */
static void leave_out_graded(batch *b)
{
    int left = 0;
    for (int i = 0; i < b->num_names; i++) {
        if (lab_grades_has(&b->grades, b->names[i]->d_name))
            free(b->names[i]);
        else
            b->names[left++] = b->names[i];
    }
    b->before = b->num_names - left;
    b->num_names = left;
}

static void say_total(const batch *b, const char *csv)
{
    fprintf(stderr, "grade-all: %d graded, %d could not be", b->graded, b->failed);
    if (b->before > 0)
        fprintf(stderr, ", %d had been before", b->before);
    fprintf(stderr, "; the grades are in %s\n", csv);
}

int lab_grade_all(const lab_course *course, const char *folder, const char *csv, int jobs)
{
    static batch b; /* large, and there is one */
    b.course = course;
    b.folder = folder;
    if (!lab_grades_load(&b.grades, csv)) {
        fprintf(stderr, "grade-all: %s cannot be read, or is not a list of grades: %s\n", csv,
                strerror(errno));
        free(b.grades.rows);
        return -1;
    }
    listed = &b;
    b.num_names = scandir(folder, &b.names, is_submission, alphasort);
    if (b.num_names < 0) {
        fprintf(stderr, "grade-all: DIR is '%s', it must be a folder of submissions\n", folder);
        free(b.grades.rows);
        return -1;
    }
    leave_out_graded(&b);
    bool writable = lab_grades_save(&b.grades);
    if (!writable)
        fprintf(stderr, "grade-all: %s cannot be written: %s\n", csv, strerror(errno));
    while (writable && (b.next < b.num_names || b.num_jobs > 0)) {
        if (b.next < b.num_names && b.num_jobs < jobs)
            start_job(&b, b.names[b.next++]->d_name);
        else
            attend(&b);
    }
    if (writable)
        say_total(&b, csv);
    for (int i = 0; i < b.num_names; i++)
        free(b.names[i]);
    free(b.names);
    free(b.grades.rows);
    return writable ? b.failed : -1;
}
