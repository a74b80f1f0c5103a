/* Buckets at random, and rows sorted by them. */
#include "buckets.h"

#include "../cpu_ref/attention.h"

#include <math.h>
#include <stdlib.h>

/* A number from 0 to 1 of a standard-normal one. */
static double uniform_of(double normal)
{
    return 0.5 * erfc(-normal / sqrt(2.0));
}

/* Buckets of one axis; false without memory. */
static bool draw(int *bucket, int rows, int count, double keep, uint64_t seed, uint64_t stream)
{
    double *x = malloc(((size_t)rows + 1) * sizeof *x);
    if (!x)
        return false;
    tw_random_normal(x, (size_t)rows, seed, stream);
    for (int i = 0; i < rows; i++) {
        int drawn = (int)(uniform_of(x[i]) * count);
        bucket[i] = drawn < count ? drawn : count - 1;
    }
    tw_random_normal(x, (size_t)rows, seed, stream + 2);
    for (int i = 0; i < rows; i++)
        if (!(uniform_of(x[i]) < keep))
            bucket[i] = -1;
    free(x);
    return true;
}

/* By counting: stable, so that rows of a bucket stay in their order and a causal mask cuts few tiles. */
static void sort(int *sorted, const int *bucket, int rows, int count)
{
    int at = 0;
    for (int b = 0; b < count; b++)
        for (int i = 0; i < rows; i++)
            if (bucket[i] == b)
                sorted[at++] = i;
    for (int i = 0; i < rows; i++)
        if (bucket[i] < 0)
            sorted[at++] = i;
}

tw_status tw_buckets_make(tw_buckets *buckets, const tw_problem *p, int count, double keep, uint64_t seed)
{
    size_t nq = (size_t)p->seqlen_q * sizeof(int), nk = (size_t)p->seqlen_k * sizeof(int);
    tw_buckets b = {
        .bucket_q = malloc(nq), .bucket_k = malloc(nk), .sorted_q = malloc(nq), .sorted_k = malloc(nk)};
    bool made = b.bucket_q && b.bucket_k && b.sorted_q && b.sorted_k;
    if (!made || !draw(b.bucket_q, p->seqlen_q, count, keep, seed, 4) ||
        !draw(b.bucket_k, p->seqlen_k, count, keep, seed, 5)) {
        tw_buckets_free(&b);
        return tw_fail(TW_ENOMEM, "no memory for the buckets of %d queries and %d keys", p->seqlen_q,
                       p->seqlen_k);
    }
    sort(b.sorted_q, b.bucket_q, p->seqlen_q, count);
    sort(b.sorted_k, b.bucket_k, p->seqlen_k, count);
    *buckets = b;
    return TW_OK;
}

void tw_buckets_attach(tw_problem *p, const tw_buckets *b)
{
    p->mask.buckets_q = b->bucket_q;
    p->mask.buckets_k = b->bucket_k;
    p->mask.sorted_q = b->sorted_q;
    p->mask.sorted_k = b->sorted_k;
}

void tw_buckets_free(tw_buckets *b)
{
    free(b->bucket_q), free(b->bucket_k), free(b->sorted_q), free(b->sorted_k);
    *b = (tw_buckets){.bucket_q = NULL};
}
