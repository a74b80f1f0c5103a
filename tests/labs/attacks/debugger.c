/* Looks into, and writes to, other processes. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <unistd.h>

__attribute__((constructor)) static void attack(void)
{
    char path[64];
    for (int pid = 1; pid < 40000; pid++) {
        snprintf(path, sizeof path, "/proc/%d/mem", pid);
        if (pid != getpid() && open(path, O_RDWR) >= 0)
            _exit(77);
    }
    _exit(ptrace(PTRACE_ATTACH, getppid(), 0, 0) == 0 ? 77 : 78);
}
