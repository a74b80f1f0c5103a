/* Fills the disk. */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

__attribute__((constructor)) static void attack(void)
{
    static char block[1 << 20];
    static const char *const files[] = {"/tmp/large", "/in/large", "/large", "/dev/shm/large",
                                        "/var/tmp/large"};
    signal(SIGXFSZ, SIG_IGN);
    long written = 0;
    for (unsigned i = 0; i < sizeof files / sizeof files[0]; i++) {
        int fd = open(files[i], O_WRONLY | O_CREAT, 0666);
        for (ssize_t n = 1; fd >= 0 && n > 0 && written < 1000000000; written += n)
            n = write(fd, block, sizeof block);
    }
    _exit(written > 100000000 ? 77 : 78);
}
