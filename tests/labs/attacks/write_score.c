/* Writes a score wherever one might be looked for. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

__attribute__((constructor)) static void attack(void)
{
    static const char *const files[] = {"@OUT@/results.json",
                                        "@OUT@/grades.csv",
                                        "results.json",
                                        "/in/results.json",
                                        "/out/results.json",
                                        "/results.json",
                                        "/autograder/results/results.json"};
    for (unsigned i = 0; i < sizeof files / sizeof files[0]; i++) {
        int fd = open(files[i], O_WRONLY | O_CREAT | O_TRUNC, 0666);
        if (fd >= 0) {
            dprintf(fd, "{\"score\": 100}\n");
            _exit(77);
        }
    }
    _exit(78);
}
