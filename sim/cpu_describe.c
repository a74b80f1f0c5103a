/* What the system says about its CPU: Linux's /proc and /sys, and what sysconf() knows where they are silent. */
#include "cpu.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The first line of a small file without its end; false if there is none. */
static bool first_line(char *text, size_t size, const char *root, const char *path)
{
    char full[512];
    snprintf(full, sizeof full, "%s%s", root, path);
    FILE *file = fopen(full, "r");
    if (!file)
        return false;
    bool read = fgets(text, (int)size, file) != NULL;
    fclose(file);
    if (read)
        text[strcspn(text, "\r\n")] = '\0';
    return read;
}

int tw_cpu_list_length(const char *list)
{
    int length = 0;
    while (isdigit((unsigned char)*list)) {
        char *end;
        long first = strtol(list, &end, 10), last = first;
        if (*end == '-' && !isdigit((unsigned char)end[1]))
            return 0;
        if (*end == '-')
            last = strtol(end + 1, &end, 10);
        if (last < first || last > 1000000)
            return 0;
        length += (int)(last - first) + 1;
        if (*end != ',')
            return *end == '\0' ? length : 0;
        list = end + 1;
    }
    return 0;
}

int64_t tw_cpu_cache_size(const char *text)
{
    char *end;
    long long value = strtoll(text, &end, 10);
    int shift = *end == 'K' ? 10 : *end == 'M' ? 20 : *end == 'G' ? 30 : 0;
    if (shift > 0)
        end++;
    return end == text || *end != '\0' || value < 1 || value > 1LL << 32 ? 0 : (int64_t)(value << shift);
}

/* Takes one of the caches of core 0 into account. `threads` is how many hardware threads a core has. */
static void note_cache(tw_cpu *cpu, const char *root, int index, int threads, int online)
{
    char path[128], level[16], type[32], size[32], shared[256];
    const struct {
        const char *name;
        char *text;
        size_t size;
    } files[] = {{"level", level, sizeof level},
                 {"type", type, sizeof type},
                 {"size", size, sizeof size},
                 {"shared_cpu_list", shared, sizeof shared}};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cache/index%d/%s", index, files[i].name);
        if (!first_line(files[i].text, files[i].size, root, path))
            return;
    }
    int64_t bytes = tw_cpu_cache_size(size);
    int sharers = tw_cpu_list_length(shared);
    if (strcmp(type, "Instruction") == 0 || bytes == 0 || sharers == 0)
        return;
    if (strcmp(level, "1") == 0)
        cpu->l1_bytes = bytes;
    int64_t all = bytes *
                  (online > sharers ? online / sharers : 1); /* there may be several, each for some cores */
    if (sharers <= threads && bytes > cpu->private_bytes)
        cpu->private_bytes = bytes;
    else if (sharers > threads && all > cpu->shared_bytes)
        cpu->shared_bytes = all;
}

static void note_model(tw_cpu *cpu, const char *root)
{
    char full[512], line[256];
    snprintf(cpu->model, sizeof cpu->model, "CPU of unknown name");
    snprintf(full, sizeof full, "%s/proc/cpuinfo", root);
    FILE *file = fopen(full, "r");
    if (!file)
        return;
    while (fgets(line, sizeof line, file)) {
        const char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) != 0 || !colon)
            continue;
        line[strcspn(line, "\r\n;")] = '\0';
        colon += 1 + strspn(colon + 1, " \t");
        if (*colon != '\0')
            snprintf(cpu->model, sizeof cpu->model, "%.95s", colon);
        break;
    }
    fclose(file);
}

/* Where /sys has no caches: glibc may still know them. It does not say who shares what; the last is taken to be shared. */
static void ask_the_c_library(tw_cpu *cpu)
{
#ifdef _SC_LEVEL2_CACHE_SIZE
    long l1 = sysconf(_SC_LEVEL1_DCACHE_SIZE), l2 = sysconf(_SC_LEVEL2_CACHE_SIZE),
         l3 = sysconf(_SC_LEVEL3_CACHE_SIZE);
    cpu->l1_bytes = l1 > 0 ? l1 : 0;
    cpu->private_bytes = l2 > 0 ? l2 : cpu->l1_bytes;
    cpu->shared_bytes = l3 > 0 ? l3 : 0;
#else
    (void)cpu;
#endif
}

/* How many CPUs a file of the system's lists; 1 if it is not there, or lists none. */
static int list_in(const char *root, const char *path)
{
    char text[256];
    const int length = first_line(text, sizeof text, root, path) ? tw_cpu_list_length(text) : 0;
    return length > 0 ? length : 1;
}

tw_status tw_cpu_describe(tw_cpu *cpu, const char *root)
{
    tw_cpu found = {.cores = 0};
    const int online = list_in(root, "/sys/devices/system/cpu/online");
    const int threads = list_in(root, "/sys/devices/system/cpu/cpu0/topology/thread_siblings_list");
    found.cores = online / threads > 0 ? online / threads : 1;
    for (int index = 0; index < 10; index++)
        note_cache(&found, root, index, threads, online);
    if (found.private_bytes == 0 && *root == '\0')
        ask_the_c_library(&found);
    if (found.private_bytes == 0)
        return tw_fail(
            TW_EUNSUPPORTED,
            "the system does not say which caches this CPU has (%s/sys/devices/system/cpu/cpu0/cache), so "
            "that a machine file must be written by hand; sim/machines/laptop.ini is an example",
            root);
    note_model(&found, root);
    long pages = sysconf(_SC_PHYS_PAGES), page_bytes = sysconf(_SC_PAGESIZE);
    found.memory_bytes = pages > 0 && page_bytes > 0 ? (int64_t)pages * page_bytes : 0;
    *cpu = found;
    return TW_OK;
}
