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

/* `instead`: why it is not bubblewrap; `way_out`: what would make bubblewrap possible. */
static lab_confinement separate_user(const char *kit, const char *secret, const char *instead,
                                     const char *way_out, char *why, size_t size)
{
    char user_says[200] = "";
    if (geteuid() != 0)
        snprintf(why, size, "%s, and only root can use a separate user: %s", instead, way_out);
    else if (!works(LAB_SEPARATE_USER, kit, user_says, sizeof user_says))
        snprintf(why, size, "%s, and a separate user does not work here (%s): %s", instead, user_says,
                 way_out);
    else if (secret && lab_confine_can_read(secret))
        snprintf(why, size, "%s, and a separate user could read %s: %s, or run chmod go-rwx %s", instead,
                 secret, way_out, secret);
    else {
        snprintf(why, size, "a separate user, with limits (%s)", instead);
        return LAB_SEPARATE_USER;
    }
    return LAB_REFUSED;
}

lab_confinement lab_confine_choose(const char *kit, const char *secret, lab_wish wish, char *why, size_t size)
{
    char bwrap_says[200], instead[260];
    if (wish == LAB_ONLY_USER)
        return separate_user(kit, secret, "TW_CONFINE=user rules bubblewrap out", "leave TW_CONFINE out", why,
                             size);
    if (works(LAB_BWRAP, kit, bwrap_says, sizeof bwrap_says)) {
        snprintf(why, size, "bubblewrap");
        return LAB_BWRAP;
    }
    snprintf(instead, sizeof instead, "bubblewrap does not work here (%s)", bwrap_says);
    if (wish == LAB_ONLY_BWRAP) {
        snprintf(why, size, "%s, and TW_CONFINE=bwrap allows nothing else", instead);
        return LAB_REFUSED;
    }
    return separate_user(kit, secret, instead, "install bubblewrap, or allow user namespaces", why, size);
}
