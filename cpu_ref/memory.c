/* How much memory there is: the kernel's own estimate, and the limit of the control group if there is one. */
#include "memory.h"

#include <math.h>
#include <stdio.h>

/* The number that `format`, with one %llu, finds in a line of a small text file; fallback if it is in none. */
static double number_in_file(const char *path, const char *format, double fallback)
{
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return fallback;
    char line[256];
    double value = fallback;
    while (fgets(line, sizeof line, file) != NULL) {
        unsigned long long number;
        if (sscanf(line, format, &number) == 1) {
            value = (double)number;
            break;
        }
    }
    fclose(file);
    return value;
}

double tw_memory_available_bytes(void)
{
    double system = 1024.0 * number_in_file("/proc/meminfo", "MemAvailable: %llu", INFINITY);
    double limit = number_in_file("/sys/fs/cgroup/memory.max", "%llu", INFINITY); /* "max" means none */
    double used = number_in_file("/sys/fs/cgroup/memory.current", "%llu", 0.0);
    double cached = number_in_file("/sys/fs/cgroup/memory.stat", "file %llu", 0.0); /* given back on demand */
    return fmin(system, fmax(limit - used + cached, 0.0));
}

tw_status tw_memory_check(double bytes, const char *what)
{
    double available = tw_memory_available_bytes();
    if (bytes > available)
        return tw_fail(TW_ENOMEM, "%s: needs %.3g GB of memory, %.3g GB are available", what, bytes / 1e9,
                       available / 1e9);
    return TW_OK;
}
