/* What the parts of the stub tell each other. */
#ifndef TW_CUDA_STUB_H
#define TW_CUDA_STUB_H

/* A small GPU. */
enum { TW_STUB_SMS = 12, TW_STUB_L2_BYTES = 16 << 20 };

/* A kernel that the host answers: what cudaLaunchKernel() is given as its function. */
typedef void (*tw_stub_kernel)(int blocks, int threads, const void *argument);

/* A kernel took so long: later events are later by that. */
void tw_stub_advance(double seconds);

#endif
