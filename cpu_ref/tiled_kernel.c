/* The inner kernel of tiled attention: one panel of queries against one tile of keys, see tiled_kernel.h.
 *
 * One source for every instruction set, in the vector extensions of gcc and clang. module.mk compiles it with
 * other -m flags and another TW_ISA each time; the width of a vector follows from the flags. Nothing here but the
 * kernel's own struct may have external linkage: the linker would keep one copy of a shared function, perhaps the
 * one that needs AVX-512, for all. */
#include "tiled_kernel.h"

#include <math.h>

#ifndef TW_ISA
#define TW_ISA baseline
#endif

/* A register block is BLOCK_ROWS × VECTORS accumulators; with VECTORS right operands and one broadcast they must
 * fit the register file (32 with AVX-512, else 16), and be enough to keep two multiply-add pipes of latency 4
 * busy. */
#if defined(__AVX512F__)
enum { WIDTH = 16, BLOCK_ROWS = 8, VECTORS = 2 };
#elif defined(__AVX2__)
enum { WIDTH = 8, BLOCK_ROWS = 6, VECTORS = 2 };
#else
enum { WIDTH = 4, BLOCK_ROWS = 6, VECTORS = 2 };
#endif
enum { LANES = WIDTH * VECTORS };

typedef float vec __attribute__((vector_size(WIDTH * sizeof(float))));
typedef int32_t ivec __attribute__((vector_size(WIDTH * sizeof(int32_t))));

#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif
#define INLINE static inline __attribute__((always_inline))

INLINE vec splat(float x)
{
    return x - (vec){0}; /* not x + 0: that would turn −0 into 0, and so cost an addition */
}

INLINE ivec isplat(int32_t x)
{
    return x - (ivec){0};
}

INLINE vec load(const float *x)
{
    return *(const vec *)x;
}

INLINE void store(float *x, vec value)
{
    *(vec *)x = value;
}

/* mask ? x : y, for the all-ones or all-zeros lanes that a comparison gives. */
INLINE vec pick(ivec mask, vec x, vec y)
{
    return (vec)(((ivec)x & mask) | ((ivec)y & ~mask));
}

/* A NaN in x is not taken; it comes back through the weights. */
INLINE vec maximum(vec m, vec x)
{
    return pick(x > m, x, m);
}

/* 2^x for x <= 0, within 2.5e-7 of it, relatively; 0 below −125, where the result would soon be subnormal; NaN
 * stays NaN. x = n + f with n whole and |f| <= ½; 2^f by a polynomial that is exactly 1 at 0 and otherwise within
 * 2.6e-9 (minimax, by Remez' algorithm), so that what is lost is the rounding of the last steps. */
INLINE vec exp2_vector(vec x)
{
    const vec round_to_whole = splat(0x1.8p23F); /* numbers of this size are whole: adding it rounds */
    vec shifted = x + round_to_whole;
    vec f = x - (shifted - round_to_whole);
    vec p = splat(0x1.443fffp-13F);
    p = p * f + splat(0x1.5f48c0p-10F);
    p = p * f + splat(0x1.3b2a1bp-7F);
    p = p * f + splat(0x1.c6aeccp-5F);
    p = p * f + splat(0x1.ebfbe0p-3F);
    p = p * f + splat(0x1.62e431p-1F);
    p = p * f + splat(1.0F);
    ivec exponent = (ivec)shifted - (ivec)round_to_whole + isplat(127);
    vec result = p * (vec)(exponent << 23);
    return (vec)((ivec)result & ~(x < splat(-125.0F)));
}

/* s[r] = k[r] · q for BLOCK_ROWS keys. */
INLINE void score_block(float *s, const float *k, const float *q, int head_dim)
{
    vec acc[BLOCK_ROWS][VECTORS] = {{{0}}};
    for (int c = 0; c < head_dim; c++) {
        const vec q0 = load(q), q1 = load(q + WIDTH);
        UNROLL
        for (int r = 0; r < BLOCK_ROWS; r++) {
            const vec k_rc = splat(k[(size_t)r * (size_t)head_dim + (size_t)c]);
            acc[r][0] += k_rc * q0;
            acc[r][1] += k_rc * q1;
        }
        q += LANES;
    }
    UNROLL
    for (int r = 0; r < BLOCK_ROWS; r++, s += LANES) {
        store(s, acc[r][0]);
        store(s + WIDTH, acc[r][1]);
    }
}

/* o[r] = alpha · o[r] + Σ_j v[j][r] · p[j] for BLOCK_ROWS columns of V. */
INLINE void value_block(float *o, const vec alpha[VECTORS], const float *p, const float *v, int v_stride,
                        int n)
{
    vec acc[BLOCK_ROWS][VECTORS];
    const float *o_row = o;
    UNROLL
    for (int r = 0; r < BLOCK_ROWS; r++, o_row += LANES) {
        acc[r][0] = alpha[0] * load(o_row);
        acc[r][1] = alpha[1] * load(o_row + WIDTH);
    }
    for (int j = 0; j < n; j++) {
        const vec p0 = load(p), p1 = load(p + WIDTH);
        UNROLL
        for (int r = 0; r < BLOCK_ROWS; r++) {
            const vec v_jr = splat(v[r]);
            acc[r][0] += v_jr * p0;
            acc[r][1] += v_jr * p1;
        }
        p += LANES;
        v += v_stride;
    }
    UNROLL
    for (int r = 0; r < BLOCK_ROWS; r++, o += LANES) {
        store(o, acc[r][0]);
        store(o + WIDTH, acc[r][1]);
    }
}

/* Scores of one key, for WIDTH queries from lane v on. */
INLINE float *score_at(const tw_panel *t, int j, int v)
{
    return t->s + (size_t)j * LANES + v;
}

/* Scores of keys that a query does not see become −inf. */
static void mask_scores(const tw_panel *t)
{
    for (int v = 0; v < LANES; v += WIDTH) {
        const ivec seen = *(const ivec *)(t->keys_seen + v);
        for (int j = 0; j < t->n; j++) {
            float *s = score_at(t, j, v);
            store(s, pick(isplat(t->first_key + j) < seen, load(s), splat(-INFINITY)));
        }
    }
}

/* Scores become weights; m and l of the lanes take them in. Returns the factor of what was summed before. While a
 * lane has only seen −inf, 0 stands in for its maximum: −inf − (−inf) would be NaN. */
INLINE vec online_softmax(const tw_panel *t, int v)
{
    const vec scale = splat(t->exponent_scale);
    const vec m_old = load(t->m + v);
    vec m = m_old, l = {0};
    for (int j = 0; j < t->n; j++)
        m = maximum(m, load(score_at(t, j, v)));
    const vec m_finite = pick(m == splat(-INFINITY), splat(0.0F), m);
    for (int j = 0; j < t->n; j++) {
        float *s = score_at(t, j, v);
        const vec p = exp2_vector((load(s) - m_finite) * scale);
        store(s, p);
        l += p;
    }
    const vec alpha = exp2_vector((m_old - m_finite) * scale);
    store(t->m + v, m);
    store(t->l + v, alpha * load(t->l + v) + l);
    return alpha;
}

/* After l took them in: dropout does not change the sum. */
static void drop_weights(const tw_panel *t)
{
    for (int v = 0; v < LANES; v += WIDTH)
        for (int j = 0; j < t->n; j++)
            store(score_at(t, j, v), load(score_at(t, j, v)) * load(t->z + (size_t)j * LANES + v));
}

/* Scores of the tile, hidden ones included. */
INLINE void all_scores(const tw_panel *t)
{
    for (int j = 0; j < t->n; j += BLOCK_ROWS)
        score_block(score_at(t, j, 0), t->k + (size_t)j * (size_t)t->head_dim, t->q, t->head_dim);
}

static void scores(const tw_panel *t)
{
    all_scores(t);
    if (t->fewest_keys_seen < t->first_key + t->n)
        mask_scores(t);
}

static void softmax(const tw_panel *t)
{
    online_softmax(t, 0);
    online_softmax(t, WIDTH);
}

static void fold_tile(const tw_panel *t)
{
    all_scores(t);
    if (t->edit != NULL)
        t->edit(t, t->context);
    else if (t->fewest_keys_seen < t->first_key + t->n)
        mask_scores(t);
    const vec alpha[VECTORS] = {online_softmax(t, 0), online_softmax(t, WIDTH)};
    if (t->z)
        drop_weights(t);
    for (int c = 0; c < t->padded_dim; c += BLOCK_ROWS)
        value_block(t->o + (size_t)c * LANES, alpha, t->s, t->v + c, t->padded_dim, t->n);
}

static void accumulate(float *c, const float *a, const float *b, int rows, int depth)
{
    const vec one[VECTORS] = {splat(1.0F), splat(1.0F)};
    for (int i = 0; i < rows; i += BLOCK_ROWS)
        value_block(c + (size_t)i * LANES, one, b, a + i, rows, depth);
}

static void exp2_array(float *y, const float *x, int n)
{
    for (int i = 0; i < n; i += WIDTH)
        store(y + i, exp2_vector(load(x + i)));
}

#define NAME_(isa)  tw_tiled_kernel_##isa
#define NAME(isa)   NAME_(isa)
#define TEXT_(text) #text
#define TEXT(text)  TEXT_(text)

const tw_tiled_kernel NAME(TW_ISA) = {.isa = TEXT(TW_ISA),
                                      .lanes = LANES,
                                      .block_rows = BLOCK_ROWS,
                                      .fold_tile = fold_tile,
                                      .scores = scores,
                                      .softmax = softmax,
                                      .accumulate = accumulate,
                                      .exp2 = exp2_array};
