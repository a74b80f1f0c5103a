/* An empty kernel, for launch.c. */
#include "kernels.h"

static __global__ void tw_cal_empty(tw_cal_nothing)
{
}

extern "C" const void *tw_cal_empty_kernel(void)
{
    return (const void *)tw_cal_empty;
}
