/* Which confinement works on this machine. */
#define _GNU_SOURCE
#include "confine.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Does a confined command run at all? What it complains of is left in `why`. */
static bool works(lab_confinement how, const char *kit, char *why, size_t size)
{
    const char *const argv[] = {"/bin/true", NULL};
    lab_command command = {
        .how = how,
        .kit = kit,
        .readable = kit,
        .with_system = true,
        .argv = argv,
        .limits = {.cpu_s = 5, .processes = 8, .memory_bytes = 1ll << 28, .file_bytes = 1 << 20}};
    lab_process process;
    if (!lab_confine_start(&process, &command, why, size))
        return false;
    struct pollfd end = {.fd = process.output, .events = POLLIN};
    char text[200] = "";
    ssize_t n = poll(&end, 1, 5000) > 0 ? read(process.output, text, sizeof text - 1) : 0;
    text[n > 0 ? n : 0] = '\0';
    text[strcspn(text, "\n")] = '\0';
    lab_confine_wait(&process, 2.0); /* an end by our signal would prove nothing */
    int status = lab_confine_stop(&process);
    bool good = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (!good)
        snprintf(why, size, "%s", text[0] ? text : "it does not run");
    return good;
}

bool lab_confine_can_read(const char *path)
{
    pid_t pid = fork();
    if (pid == 0) {
        if (setgid(59999) != 0 || setuid(59999) != 0)
            _exit(0);
        _exit(access(path, R_OK) == 0 ? 0 : 1);
    }
    int status = 0;
    return pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || WEXITSTATUS(status) == 0;
}

static lab_confinement separate_user(const char *kit, const char *secret, const char *bwrap_says, char *why,
                                     size_t size)
{
    char user_says[200] = "";
    if (geteuid() != 0)
        snprintf(why, size,
                 "bubblewrap does not work here (%s), and only root can use a separate user instead; "
                 "install bubblewrap, or allow user namespaces",
                 bwrap_says);
    else if (!works(LAB_SEPARATE_USER, kit, user_says, sizeof user_says))
        snprintf(why, size, "bubblewrap does not work here (%s), nor does a separate user (%s)", bwrap_says,
                 user_says);
    else if (secret && lab_confine_can_read(secret))
        snprintf(why, size,
                 "bubblewrap does not work here (%s), and a separate user could read %s: install "
                 "bubblewrap, or run chmod go-rwx %s",
                 bwrap_says, secret, secret);
    else {
        snprintf(why, size, "a separate user, with limits (bubblewrap: %s)", bwrap_says);
        return LAB_SEPARATE_USER;
    }
    return LAB_REFUSED;
}

lab_confinement lab_confine_choose(const char *kit, const char *secret, char *why, size_t size)
{
    const char *wanted = getenv("TW_CONFINE");
    char bwrap_says[200] = "TW_CONFINE asks for a separate user";
    bool only_user = wanted && strcmp(wanted, "user") == 0;
    if (!only_user && works(LAB_BWRAP, kit, bwrap_says, sizeof bwrap_says)) {
        snprintf(why, size, "bubblewrap");
        return LAB_BWRAP;
    }
    if (wanted && strcmp(wanted, "bwrap") == 0) {
        snprintf(why, size, "bubblewrap does not work here (%s), and TW_CONFINE=bwrap allows nothing else",
                 bwrap_says);
        return LAB_REFUSED;
    }
    return separate_user(kit, secret, bwrap_says, why, size);
}
