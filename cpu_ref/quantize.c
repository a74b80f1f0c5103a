/* Scales, and the fast Walsh-Hadamard transform. */
#include "quantize.h"

#include <math.h>

const char *tw_scales_name(tw_scales scales)
{
    static const char *const names[] = {"tensor", "block", "token"};
    return (unsigned)scales < sizeof names / sizeof names[0] ? names[scales] : "unknown scales";
}

bool tw_quantize_is_on(const tw_quantize *q)
{
    return tw_dtype_is_code(q->format);
}

double tw_quantize_p_scale(const tw_quantize *q)
{
    double largest = tw_dtype_largest(q->format);
    return q->format == TW_INT8 ? largest : exp2(floor(log2(largest)));
}

int64_t tw_quantize_rows(const tw_quantize *q, tw_quantized_tensor tensor, int64_t rows)
{
    if (q->scales == TW_SCALES_BLOCK)
        return tensor == TW_QUANTIZED_Q ? q->block_rows : q->block_keys;
    return q->scales == TW_SCALES_TOKEN && tensor != TW_QUANTIZED_V ? 1 : rows;
}

int64_t tw_quantize_scales(const tw_quantize *q, tw_quantized_tensor tensor, int64_t rows)
{
    int64_t together = tw_quantize_rows(q, tensor, rows);
    return together > 0 ? (rows + together - 1) / together : 0;
}

/* Butterflies of width 1, 2, 4, …: each stage multiplies by one factor of H = [1 1; 1 −1] ⊗ … ⊗ [1 1; 1 −1]. */
void tw_hadamard(double *x, int n)
{
    double scale = 1.0 / sqrt((double)n);
    for (int width = 1; width < n; width *= 2) {
        for (int first = 0; first < n; first += 2 * width) {
            for (int i = first; i < first + width; i++) {
                double a = x[i], b = x[i + width];
                x[i] = a + b;
                x[i + width] = a - b;
            }
        }
    }
    for (int i = 0; i < n; i++)
        x[i] *= scale;
}

tw_status tw_quantize_check(const tw_quantize *q, int head_dim)
{
    if (!tw_quantize_is_on(q))
        return TW_OK;
    if ((unsigned)q->scales > TW_SCALES_TOKEN)
        return tw_fail(TW_EINVAL, "scales are %d, they must be of enum tw_scales", (int)q->scales);
    if (q->block_rows < 0 || q->block_keys < 0)
        return tw_fail(TW_EINVAL, "%d rows and %d keys share a scale, it must be at least 1, or 0 for a tile",
                       q->block_rows, q->block_keys);
    if (q->hadamard && (head_dim & (head_dim - 1)) != 0)
        return tw_fail(
            TW_EINVAL,
            "head_dim is %d, it must be a power of two for a Hadamard matrix, such as 64, 128 or 256",
            head_dim);
    return TW_OK;
}
