/* Never answers, sleeps instead of computing, and will not be asked to stop. */
#define _POSIX_C_SOURCE 200809L
#include <signal.h>
#include <time.h>

__attribute__((constructor)) static void attack(void)
{
    for (int s = 1; s < 32; s++)
        signal(s, SIG_IGN);
    for (;;)
        nanosleep(&(struct timespec){.tv_sec = 1000}, 0);
}
