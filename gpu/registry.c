/* The list of kernels: the rows of kernels.def become one table, and a plugin adds a row. */
#include "registry.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#define TW_KERNEL(name, symbol, schedule, block_m, block_n, exceptions, unit, fetch, min_arch, idea)         \
    extern const tw_tiling tw_##symbol##_tilings[];                                                          \
    tw_status tw_##symbol##_supports(const tw_problem *problem, const tw_tiling *tiling);                    \
    size_t tw_##symbol##_workspace_bytes(const tw_problem *problem, const tw_tiling *tiling);                \
    tw_status tw_##symbol##_launch(const tw_gpu_args *args);
#include "kernels.def"

#define TW_KERNEL(name, symbol, schedule, block_m, block_n, exceptions, unit, fetch, min_arch, idea)         \
    static const tw_tile_exception symbol##_exceptions[TW_TILE_EXCEPTIONS] = exceptions;
#include "kernels.def"

static const tw_gpu_kernel own_kernels[] = {
#define TW_KERNEL(name, symbol, schedule, block_m, block_n, exceptions, unit, fetch, min_arch, idea)         \
    {name,                                                                                                   \
     schedule,                                                                                               \
     idea,                                                                                                   \
     min_arch,                                                                                               \
     {block_m, block_n, fetch, unit, TW_ORDER_OWN, TW_KV_FORWARD, 0, 0},                                     \
     tw_##symbol##_tilings,                                                                                  \
     tw_##symbol##_supports,                                                                                 \
     tw_##symbol##_workspace_bytes,                                                                          \
     tw_##symbol##_launch,                                                                                   \
     symbol##_exceptions,                                                                                    \
     true},
#include "kernels.def"
};

enum { NUM_OWN = sizeof own_kernels / sizeof own_kernels[0] };
_Static_assert(NUM_OWN < TW_GPU_MAX_KERNELS, "TW_GPU_MAX_KERNELS must hold kernels.def and a plugin");

static const tw_gpu_kernel *plugin_kernel;

int tw_gpu_num_kernels(void)
{
    return NUM_OWN + (plugin_kernel != NULL);
}

const tw_gpu_kernel *tw_gpu_kernel_at(int i)
{
    return i < NUM_OWN ? &own_kernels[i] : plugin_kernel;
}

static tw_status unknown_kernel(const char *name, size_t length)
{
    char known[300] = "";
    for (int i = 0; i < tw_gpu_num_kernels(); i++) {
        size_t used = strlen(known);
        snprintf(known + used, sizeof known - used, "%s%s", i == 0 ? "" : ", ", tw_gpu_kernel_at(i)->name);
    }
    return tw_fail(TW_EINVAL, "unknown kernel '%.*s', it must be one of %s", (int)length, name, known);
}

tw_status tw_gpu_select(tw_gpu_selection *selection, const char *names)
{
    bool wanted[TW_GPU_MAX_KERNELS] = {false};
    for (const char *name = names; name != NULL;) {
        size_t length = strcspn(name, ",");
        int found = -1;
        for (int i = 0; i < tw_gpu_num_kernels(); i++) {
            const char *own = tw_gpu_kernel_at(i)->name;
            if (strlen(own) == length && strncmp(own, name, length) == 0)
                found = i;
        }
        if (found < 0)
            return unknown_kernel(name, length);
        wanted[found] = true;
        name = name[length] == ',' ? name + length + 1 : NULL;
    }
    selection->num_kernels = 0;
    for (int i = 0; i < tw_gpu_num_kernels(); i++)
        if (names == NULL || wanted[i])
            selection->kernels[selection->num_kernels++] = tw_gpu_kernel_at(i);
    return TW_OK;
}

/* A name goes into CSV files and option lists: letters, digits and a few marks, nothing else. */
static bool is_plain_name(const char *name)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.";
    return name != NULL && name[0] != '\0' && strlen(name) < 64 && strspn(name, allowed) == strlen(name);
}

static tw_status check_plugin(const char *path, const tw_gpu_kernel *k)
{
    if (k == NULL)
        return tw_fail(TW_EINVAL, "%s: tw_plugin_kernel() returned NULL", path);
    if (!is_plain_name(k->name))
        return tw_fail(TW_EINVAL, "%s: the kernel's name must be 1 to 63 letters, digits, '_', '-' or '.'",
                       path);
    if (!is_plain_name(k->schedule))
        return tw_fail(TW_EINVAL, "%s: the kernel's schedule must name a schedule, such as flash2", path);
    if (k->idea == NULL || strchr(k->idea, '\n') != NULL)
        return tw_fail(TW_EINVAL, "%s: the kernel's idea must be one line", path);
    if (k->min_arch < 50 || k->min_arch > 999)
        return tw_fail(TW_EINVAL, "%s: min_arch is %d, it must be a compute capability such as 80 for 8.0",
                       path, k->min_arch);
    if (k->tiling.block_m < 1 || k->tiling.block_n < 1)
        return tw_fail(TW_EINVAL, "%s: the tiling is %d x %d, both must be at least 1", path,
                       k->tiling.block_m, k->tiling.block_n);
    if (k->supports == NULL || k->workspace_bytes == NULL || k->launch == NULL)
        return tw_fail(TW_EINVAL, "%s: supports, workspace_bytes and launch must not be NULL", path);
    for (int i = 0; i < tw_gpu_num_kernels(); i++)
        if (strcmp(tw_gpu_kernel_at(i)->name, k->name) == 0)
            return tw_fail(TW_EINVAL, "%s: there is already a kernel named %s", path, k->name);
    return TW_OK;
}

tw_status tw_gpu_load_plugin(const char *path)
{
    char with_folder[4096]; /* without a '/', dlopen would search the library path instead */
    snprintf(with_folder, sizeof with_folder, "%s%s", strchr(path, '/') == NULL ? "./" : "", path);
    void *object = dlopen(with_folder, RTLD_NOW | RTLD_LOCAL);
    if (object == NULL)
        return tw_fail(TW_EIO, "cannot load the plugin %s: %s", path, dlerror());
    union { /* ISO C has no cast from an object pointer to a function pointer */
        void *object;
        tw_plugin_kernel_fn function;
    } entry = {dlsym(object, "tw_plugin_kernel")};
    if (entry.object == NULL)
        return tw_fail(TW_EINVAL, "%s is no plugin: it does not define tw_plugin_kernel", path);
    const tw_gpu_kernel *kernel = entry.function();
    TW_TRY(check_plugin(path, kernel));
    plugin_kernel = kernel;
    return TW_OK;
}

static bool same_blocks(const tw_tiling *a, const tw_tiling *b)
{
    return a->block_m == b->block_m && a->block_n == b->block_n;
}

const tw_tiling *tw_gpu_next_tiling(const tw_gpu_kernel *kernel, const tw_tiling *previous)
{
    if (previous == NULL)
        return &kernel->tiling;
    if (kernel->tilings == NULL)
        return NULL;
    const tw_tiling *next = previous == &kernel->tiling ? kernel->tilings : previous + 1;
    while (next->block_m != 0 && same_blocks(next, &kernel->tiling))
        next++;
    return next->block_m != 0 ? next : NULL;
}
