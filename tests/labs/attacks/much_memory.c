/* 100 GB, every page of them. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

__attribute__((constructor)) static void attack(void)
{
    size_t megabytes = 0;
    for (; megabytes < 100000; megabytes++) {
        char *block = malloc(1 << 20);
        if (!block)
            break;
        memset(block, 1, 1 << 20);
    }
    _exit(megabytes < 2000 ? 78 : 77);
}
