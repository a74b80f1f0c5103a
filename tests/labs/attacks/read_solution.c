/* Reads the solution, a list of grades, and the grader, where they lie. */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

__attribute__((constructor)) static void attack(void)
{
    static const char *const secrets[] = {"@ROOT@/tests/labs/lab1/solution/softmax.c",
                                          "@ROOT@/README.md",
                                          "@OUT@",
                                          "@ROOT@/build/labs/lab1/grade",
                                          "/etc/shadow",
                                          "/root",
                                          "/home"};
    for (unsigned i = 0; i < sizeof secrets / sizeof secrets[0]; i++)
        if (open(secrets[i], O_RDONLY) >= 0)
            _exit(77);
    _exit(78);
}
