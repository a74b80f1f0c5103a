/* For fuzzers of functions that take a path: the input as a file in memory, under /proc/self/fd. */
#ifndef TW_FUZZ_FILE_H
#define TW_FUZZ_FILE_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

long syscall(long number, ...);

/* Fills `path` (32 bytes) and returns the descriptor to close. */
static inline int fuzz_file(char *path, const uint8_t *data, size_t size)
{
    int fd = (int)syscall(SYS_memfd_create, "fuzz", 0);
    if (fd < 0 || (size > 0 && write(fd, data, size) != (ssize_t)size))
        abort();
    snprintf(path, 32, "/proc/self/fd/%d", fd);
    return fd;
}

#endif
