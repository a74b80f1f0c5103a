/* K and V in pages: row r of a sequence is row r mod page_size of page table[r / page_size]. */
#include "pages.h"

#include "philox.h"

#include <string.h>

/* One of 0 … n − 1, by a Philox stream of its own. */
static int64_t drawn(uint64_t seed, int64_t draw, int64_t n)
{
    uint32_t word[4] = {(uint32_t)draw, (uint32_t)(draw >> 32), 0, 0x70616765};
    tw_philox4x32(word, (uint32_t)seed, (uint32_t)(seed >> 32));
    return (int64_t)((((uint64_t)word[1] << 32) | word[0]) % (uint64_t)n);
}

/* Fisher and Yates: each place takes one of those that are left. */
void tw_page_table_shuffled(int *table, int batch, int width, uint64_t seed)
{
    int64_t n = (int64_t)batch * width;
    for (int64_t i = 0; i < n; i++)
        table[i] = (int)i;
    for (int64_t i = n - 1; i > 0; i--) {
        int64_t j = drawn(seed, i, i + 1);
        int taken = table[i];
        table[i] = table[j];
        table[j] = taken;
    }
}

/* Copies every row from where one problem has it to where the other does: the two differ in pages alone. */
static void copy_rows(double *to, const tw_problem *to_problem, const double *from,
                      const tw_problem *from_problem, int columns)
{
    size_t width = (size_t)columns, dim = (size_t)to_problem->head_dim;
    for (int b = 0; b < to_problem->batch; b++)
        for (int row = 0; row < tw_problem_sequence(to_problem, b).seqlen_k; row++)
            for (int head = 0; head < to_problem->num_heads_kv; head++)
                memcpy(to + tw_problem_k_row(to_problem, b, head, row) / dim * width,
                       from + tw_problem_k_row(from_problem, b, head, row) / dim * width, width * sizeof *to);
}

static tw_problem without_pages(const tw_problem *p)
{
    tw_problem plain = *p;
    plain.page_size = 0;
    return plain;
}

void tw_pages_scatter(double *paged, const double *contiguous, const tw_problem *p, int columns)
{
    tw_problem plain = without_pages(p);
    copy_rows(paged, p, contiguous, &plain, columns);
}

void tw_pages_gather(double *contiguous, const double *paged, const tw_problem *p, int columns)
{
    tw_problem plain = without_pages(p);
    copy_rows(contiguous, &plain, paged, p, columns);
}
