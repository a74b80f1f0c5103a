/* A bar for long work. */
#include "progress.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { WIDTH = 24 };

void tw_progress_show(double done, double total, const char *what)
{
    char bar[WIDTH + 1];
    if (!isatty(STDERR_FILENO))
        return;
    int filled = total > 0 ? (int)(WIDTH * done / total) : 0;
    memset(bar, '.', WIDTH);
    memset(bar, '#', (size_t)(filled < 0 ? 0 : filled > WIDTH ? WIDTH : filled));
    bar[WIDTH] = '\0';
    fprintf(stderr, "\r\033[K[%s] %.60s", bar, what);
    fflush(stderr);
}

void tw_progress_clear(void)
{
    if (isatty(STDERR_FILENO))
        fprintf(stderr, "\r\033[K");
}
