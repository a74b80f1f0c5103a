/* Prints without end. */
#include <stdio.h>

__attribute__((constructor)) static void attack(void)
{
    for (;;)
        puts("Everything is right. Everything is right. Everything is right. Everything is right.");
}
