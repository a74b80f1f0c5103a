/* Starting and ending confined commands. */
#define _GNU_SOURCE
#include "confine.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../worker/message.h"

enum { MAX_ARGS = 96 };

/* An argument vector that is being built; what is printed into it lives in `text`. */
typedef struct arguments {
    const char *argv[MAX_ARGS];
    int argc;
    char text[8192];
    size_t used;
} arguments;

static void add(arguments *a, const char *argument)
{
    if (a->argc < MAX_ARGS - 1)
        a->argv[a->argc++] = argument;
    a->argv[a->argc] = NULL;
}

static void add_all(arguments *a, const char *const *list)
{
    for (; *list; list++)
        add(a, *list);
}

static void add_text(arguments *a, const char *head, const char *tail)
{
    char *at = a->text + a->used;
    int n = snprintf(at, sizeof a->text - a->used, "%s%s", head, tail);
    if (n >= 0 && a->used + (size_t)n + 1 < sizeof a->text) {
        a->used += (size_t)n + 1;
        add(a, at);
    }
}

static void add_number(arguments *a, long long number)
{
    char digits[32];
    snprintf(digits, sizeof digits, "%lld", number);
    add_text(a, digits, "");
}

/* /lib and the like are links into /usr on most systems, folders on some. */
static void add_system(arguments *a)
{
    static const char *const names[] = {"/lib", "/lib64", "/bin", "/sbin"};
    add_all(a, (const char *const[]){"--ro-bind", "/usr", "/usr", "--ro-bind-try", "/etc/alternatives",
                                     "/etc/alternatives", NULL});
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char target[PATH_MAX];
        ssize_t n = readlink(names[i], target, sizeof target - 1);
        if (n > 0) {
            target[n] = '\0';
            add(a, "--symlink");
            add_text(a, target, "");
            add(a, names[i]);
        } else {
            add_all(a, (const char *const[]){"--ro-bind-try", names[i], names[i], NULL});
        }
    }
}

static void add_bwrap(arguments *a, const lab_command *c)
{
    add_all(a, (const char *const[]){"bwrap", "--die-with-parent", "--new-session", "--unshare-ipc",
                                     "--unshare-pid", "--unshare-net", "--unshare-uts",
                                     "--unshare-cgroup-try", "--clearenv", "--setenv", "PATH",
                                     "/usr/bin:/bin", "--setenv", "LC_ALL", "C.UTF-8", NULL});
    if (geteuid() != 0)
        add_all(a, (const char *const[]){"--unshare-user", "--uid", "65534", "--gid", "65534", NULL});
    if (c->with_system) {
        add_system(a);
        add_all(a, (const char *const[]){"--size", "67108864", "--perms", "1777", "--tmpfs", "/tmp", NULL});
    }
    add_all(a, (const char *const[]){"--proc", "/proc", "--dev", "/dev", "--remount-ro", "/dev", "--ro-bind",
                                     c->readable, "/in", NULL});
    if (c->writable)
        add_all(a, (const char *const[]){"--bind", c->writable, "/out", NULL});
    add(a, "--ro-bind");
    add_text(a, c->kit, "/tilewise-confine");
    add_all(a,
            (const char *const[]){"/confine", "--chdir", "/in", "--remount-ro", "/", "--", "/confine", NULL});
}

static void add_command(arguments *a, const lab_command *c, const char *in, const char *out)
{
    for (const char *const *arg = c->argv; *arg; arg++) {
        if (strncmp(*arg, "{in}", 4) == 0)
            add_text(a, in, *arg + 4);
        else if (strncmp(*arg, "{out}", 5) == 0)
            add_text(a, out, *arg + 5);
        else
            add(a, *arg);
    }
}

/* The whole line: bubblewrap or not, then tilewise-confine with its limits, then the command. */
static void build_line(arguments *a, const lab_command *c, unsigned long uid)
{
    bool bwrap = c->how == LAB_BWRAP, empty_root = !bwrap && !c->with_system;
    if (bwrap)
        add_bwrap(a, c);
    else
        add_text(a, c->kit, "/tilewise-confine");
    add_number(a, (long long)uid);
    add_number(a, c->limits.cpu_s);
    add_number(a, c->limits.memory_bytes);
    add_number(a, c->limits.processes);
    add_number(a, c->limits.file_bytes);
    add(a, empty_root ? c->readable : "-");
    add_command(a, c,
                bwrap        ? "/in"
                : empty_root ? ""
                             : c->readable,
                bwrap         ? "/out"
                : c->writable ? c->writable
                              : "");
}

/* In the child: the pipes to where they belong, nothing else open, a session of its own. */
static void enter(const int *ends, const lab_command *c, char *const *argv)
{
    static char path[] = "PATH=/usr/bin:/bin", locale[] = "LC_ALL=C.UTF-8";
    char tmpdir[PATH_MAX + 8];
    snprintf(tmpdir, sizeof tmpdir, "TMPDIR=%s",
             c->how == LAB_BWRAP ? "/tmp"
             : c->writable       ? c->writable
                                 : "/");
    char *environment[] = {path, locale, tmpdir, NULL};
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC), high[4] = {null, ends[0], ends[1], ends[2]};
    for (int i = 0; i < 4; i++) /* out of the way of the numbers that they are to have */
        if ((high[i] = fcntl(high[i], F_DUPFD_CLOEXEC, 16)) < 0)
            _exit(125);
    if (dup2(high[0], 0) < 0 || dup2(high[3], 1) < 0 || dup2(high[3], 2) < 0 ||
        dup2(high[1], LAB_FD_QUESTION) < 0 || dup2(high[2], LAB_FD_ANSWER) < 0)
        _exit(125);
    for (int fd = 5; fd < 1024; fd++)
        close(fd);
    setsid();
    signal(SIGPIPE, SIG_DFL);
    execvpe(argv[0], argv, environment);
    dprintf(2, "cannot run %s: %s\n", argv[0], strerror(errno));
    _exit(125);
}

static void close_all(int *fds, int n)
{
    for (int i = 0; i < n; i++) {
        if (fds[i] >= 0)
            close(fds[i]);
        fds[i] = -1;
    }
}

/* Who runs in the child: as root somebody who exists only for this process. */
static unsigned long new_user(void)
{
    static unsigned long count;
    return geteuid() == 0 ? 0x10000000ul + (unsigned long)getpid() % 4194304ul * 64 + count++ % 64 : 0;
}

bool lab_confine_start(lab_process *process, const lab_command *command, char *why, size_t size)
{
    int fds[6] = {-1, -1, -1, -1, -1, -1}; /* question, answer, output: reading and writing end each */
    for (int i = 0; i < 3; i++) {
        if (pipe2(fds + 2 * i, O_CLOEXEC) != 0) {
            snprintf(why, size, "no pipe: %s", strerror(errno));
            close_all(fds, 6);
            return false;
        }
    }
    arguments a = {.argc = 0};
    process->uid = new_user();
    build_line(&a, command, process->uid);
    if (command->writable && process->uid && chown(command->writable, 0, 0) == 0)
        (void)!chmod(command->writable, 0777);
    process->pid = fork();
    if (process->pid == 0)
        enter((int[]){fds[0], fds[3], fds[5]}, command, (char *const *)(const void *)a.argv);
    close_all((int[]){fds[0], fds[3], fds[5]}, 3);
    if (process->pid < 0) {
        snprintf(why, size, "cannot start a process: %s", strerror(errno));
        close_all((int[]){fds[1], fds[2], fds[4]}, 3);
        return false;
    }
    process->question = fds[1];
    process->answer = fds[2];
    process->output = fds[4];
    fcntl(process->question, F_SETFL, O_NONBLOCK);
    fcntl(process->output, F_SETFL, O_NONBLOCK);
    return true;
}

/* All processes of the separate user, however they got away: that user signals everybody it may, which is itself. */
static void sweep(const lab_process *process)
{
    pid_t pid = fork();
    if (pid == 0) {
        unsigned long low = 40000 + process->uid % 20000; /* as tilewise-confine chose */
        if (setgid((gid_t)process->uid) != 0 || setuid((uid_t)process->uid) != 0)
            if (setgid((gid_t)low) != 0 || setuid((uid_t)low) != 0)
                _exit(1);
        for (int i = 0; i < 100; i++)
            if (kill(-1, SIGKILL) != 0)
                break;
        _exit(0);
    }
    if (pid > 0)
        waitpid(pid, NULL, 0);
}

void lab_confine_wait(const lab_process *process, double seconds)
{
    for (int tries = (int)(seconds * 200.0); tries > 0; tries--) {
        siginfo_t info = {.si_pid = 0};
        if (waitid(P_PID, (id_t)process->pid, &info, WEXITED | WNOWAIT | WNOHANG) != 0 || info.si_pid)
            return;
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    }
}

int lab_confine_stop(lab_process *process)
{
    int status = 0;
    close_all((int[]){process->question, process->answer, process->output}, 3);
    kill(process->pid, SIGKILL); /* bubblewrap takes its process namespace with it */
    kill(-process->pid, SIGKILL);
    if (process->uid)
        sweep(process);
    while (waitpid(process->pid, &status, 0) < 0 && errno == EINTR)
        ;
    process->pid = 0;
    return status;
}
