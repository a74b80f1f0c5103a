/* Wait statuses as sentences. */
#include "ending.h"

#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

void lab_ending_describe(int wait_status, char *text, size_t size)
{
    int code = WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : 0;
    int sign = WIFSIGNALED(wait_status) ? WTERMSIG(wait_status) : code > 128 && code < 160 ? code - 128 : 0;
    const char *meaning = sign == SIGSEGV   ? ", a segmentation fault: an address that is not yours"
                          : sign == SIGXCPU ? ": all of its processor time is used up"
                          : sign == SIGKILL ? ": it was killed, at a limit or by itself"
                          : sign == SIGFPE  ? ", an integer divided by zero"
                          : sign == SIGBUS  ? ", an address that cannot be used"
                          : sign == SIGABRT
                              ? ", it was aborted: by itself, or because its memory was in disorder"
                              : "";
    if (sign)
        snprintf(text, size, "signal %d%s", sign, meaning);
    else
        snprintf(text, size, "exit status %d", code);
}
