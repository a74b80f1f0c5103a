/* OpenMP where there is OpenMP, one thread where there is not. Private to the reference library. */
#ifndef TW_THREADS_H
#define TW_THREADS_H

#ifdef _OPENMP
#include <omp.h>
#endif

/* The most threads that the next parallel region may have. */
static inline int tw_max_threads(void)
{
#ifdef _OPENMP
    return omp_get_max_threads();
#else
    return 1;
#endif
}

/* Which of them this is. */
static inline int tw_thread_index(void)
{
#ifdef _OPENMP
    return omp_get_thread_num();
#else
    return 0;
#endif
}

#endif
