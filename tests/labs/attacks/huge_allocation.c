/* 100 GB in one piece. */
#include <stdlib.h>
#include <unistd.h>

__attribute__((constructor)) static void attack(void)
{
    volatile char *block = malloc(100000000000u);
    _exit(block ? 77 : 78);
}
