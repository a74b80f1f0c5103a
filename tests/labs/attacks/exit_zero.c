/* Ends with success before anybody could be asked. */
#include <stdlib.h>
#include <unistd.h>

__attribute__((constructor)) static void attack(void)
{
    _exit(0);
}
