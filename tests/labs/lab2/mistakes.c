/* Lab 2: usual wrong formulas. A wrong number that one of them gives is named after it. */
#include "judge.h"
#include "questions.h"

static int64_t up(int64_t n, int64_t block)
{
    return (n + block - 1) / block;
}

static int64_t down(int64_t n, int64_t block)
{
    return n / block;
}

static int64_t one_more(int64_t n, int64_t block)
{
    return n / block + 1;
}

typedef int64_t (*tiles)(int64_t n, int64_t block);

/* ---- what the formulas are made of ---------------------------------------------------------------------------- */

/* `q` loads of all of Q, and so on. */
static int64_t tiled(const int64_t a[4], int64_t q, int64_t k, int64_t v, int64_t p, int64_t lse)
{
    int64_t n = a[0], d = a[1];
    return (q + k + v + 1) * n * d + (3 + p) * n * n + lse * n;
}

static int64_t tiled_by(const int64_t a[4], tiles of)
{
    int64_t tr = of(a[0], a[2]), tc = of(a[0], a[3]);
    return tiled(a, tc, tr, tr, 1, 1);
}

/* K and V once, then in each pass `matrices` of N x d and `rows` numbers a row; `first` of N x d before all passes. */
static int64_t flash1(const int64_t a[4], int64_t passes, int64_t matrices, int64_t rows, int64_t first)
{
    int64_t n = a[0], d = a[1];
    return (2 + first) * n * d + passes * (matrices * n * d + rows * n);
}

/* Q and O once, `loads` of N x d for each query tile, `rows` numbers a row. */
static int64_t flash2(const int64_t a[4], int64_t query_tiles, int64_t loads, int64_t rows)
{
    int64_t n = a[0], d = a[1];
    return 2 * n * d + query_tiles * loads * n * d + rows * n;
}

/* With key tiles up to the one that holds the last key of `end`, cut at n or not. */
static int64_t causal(const int64_t a[4], bool first_row, bool exact, bool cut, tiles of)
{
    int64_t n = a[0], d = a[1], keys = 0;
    for (int64_t row = 0; row < n; row += a[2]) {
        int64_t end = first_row ? row + 1 : row + a[2] < n ? row + a[2] : n;
        int64_t loaded = exact ? end : of(end, a[3]) * a[3];
        keys += cut && loaded > n ? n : loaded;
    }
    return 2 * n * d + n + 2 * keys * d;
}

/* FlashAttention's block_n from which on it moves less, or as little, than `standard`; tried up to the end. */
static int64_t first_block(const int64_t a[4], int64_t standard, bool equal_counts, int64_t end)
{
    for (int64_t block = 1; block <= end; block++) {
        int64_t moved = flash1(a, up(a[0], block), 3, 4, 0);
        if (moved < standard || (equal_counts && moved == standard))
            return block;
    }
    return 0;
}

static int64_t textbook(const int64_t a[4])
{
    return 4 * a[0] * a[0] + 4 * a[0] * a[1];
}

/* ---- the list -------------------------------------------------------------------------------------------------- */

static const char too_few[] =
    "The last tile is missing, where it is shorter than the others: it is a tile, too.";
static const char too_many[] = "There is a tile too many where the tiles divide n: a last, shorter one is a "
                               "tile, too, but only if it has rows.";

/* What somebody returns who has made this mistake. */
typedef struct mistake {
    int64_t value;
    const char *text;
} mistake;

static const char *find(const mistake *list, size_t count, int64_t got)
{
    for (size_t i = 0; i < count; i++)
        if (list[i].value == got)
            return list[i].text;
    return NULL;
}

#define FIND(list, got) find(list, sizeof(list) / sizeof((list)[0]), got)

static const char *explain_standard(const int64_t a[4], int64_t got)
{
    int64_t n = a[0], d = a[1];
    const mistake list[] = {
        {3 * n * n + 4 * n * d, "One of four is missing: S goes out and in, P goes out and in."},
        {2 * n * n + 4 * n * d, "S and P each go out and come in again: that is 4, not 2, times n * n."},
        {4 * n * n + 3 * n * d, "One of Q, K, V and O is missing."},
        {textbook(a) + n, "The textbook's ledger does not count LSE."}};
    return FIND(list, got);
}

static const char *explain_standard_tiled(const int64_t a[4], int64_t got)
{
    int64_t n = a[0], d = a[1];
    const mistake list[] = {
        {tiled_by(a, down), too_few},
        {tiled_by(a, one_more), too_many},
        {tiled(a, up(n, a[2]), up(n, a[3]), up(n, a[3]), 1, 1),
         "Rows and columns are exchanged: Q goes in once per key tile, K and V once per query tile."},
        {tiled(a, up(n, a[2]), up(n, a[3]), up(n, a[2]), 1, 1),
         "Rows and columns are exchanged in the first pass: Q goes in once per key tile, K once per query "
         "tile."},
        {tiled(a, up(n, a[3]), up(n, a[2]), up(n, a[3]), 1, 1),
         "V goes in once per query tile: a tile of O has block_m rows, and needs all of V."},
        {tiled(a, up(n, a[3]), up(n, a[2]), 1, 1, 1), "V goes in once per query tile, not once in all."},
        {tiled(a, 1, up(n, a[2]), up(n, a[2]), 1, 1), "Q goes in once per key tile, not once in all."},
        {tiled(a, up(n, a[3]), 1, up(n, a[2]), 1, 1), "K goes in once per query tile, not once in all."},
        {tiled(a, up(n, a[3]), up(n, a[2]), up(n, a[2]), 1, 0),
         "LSE is missing: the softmax pass writes it, n numbers."},
        {tiled(a, up(n, a[3]), up(n, a[2]), up(n, a[2]), up(d, a[3]), 1),
         "P goes in once: a tile of O has all d columns."},
        {textbook(a), "This is the textbook's ledger: here operands are loaded again for every tile."}};
    return FIND(list, got);
}

static const char *explain_flash1(const int64_t a[4], int64_t got)
{
    int64_t n = a[0];
    const mistake list[] = {
        {flash1(a, down(n, a[2]), 3, 4, 0), too_few},
        {flash1(a, one_more(n, a[2]), 3, 4, 0), too_many},
        {flash1(a, up(n, a[2]), 3, 2, 0),
         "Per pass, 2 n are missing: m and l go in and out with O in each of the passes."},
        {flash1(a, up(n, a[2]), 3, 0, 0), "m and l go in and out with O in each of the passes."},
        {flash1(a, up(n, a[2]), 2, 4, 0), "Per pass, n * d are missing: Q goes in, O goes in and out."},
        {flash1(a, up(n, a[2]), 2, 4, 1), "Q goes in again in each of the passes, not once in all."},
        {flash1(a, up(n, a[2]), 3, 4, 1),
         "It is n * d too much before all passes: setting O to its first values is not counted."},
        {flash1(a, up(n, a[2]), 3, 4, 1) + 2 * n,
         "Setting O, m and l to their first values, before all passes, is not counted."},
        {flash1(a, up(n, a[2]), 3, 4, -2), "K and V are missing: they go in once."},
        {flash1(a, up(n, a[2]), 5, 4, -2), "K and V go in once in all: each pass has its own tile of them."},
        {flash1(a, up(n, a[2]), 3, 4, 0) + n, "LSE is not written: m and l are in memory already."}};
    return FIND(list, got);
}

static const char *explain_flash2(const int64_t a[4], int64_t got)
{
    int64_t n = a[0];
    const mistake list[] = {
        {flash2(a, down(n, a[2]), 2, 1), too_few},
        {flash2(a, one_more(n, a[2]), 2, 1), too_many},
        {flash2(a, up(n, a[2]), 2, 0), "LSE is missing: n more go out."},
        {flash2(a, up(n, a[2]), 2, 2), "Of m and l only LSE goes out: n, not 2 n."},
        {flash2(a, up(n, a[2]), 1, 1), "Both K and V go in once for each query tile."},
        {flash2(a, up(n, a[2]), 3, 1), "Q stays: only K and V go in once for each query tile."},
        {flash2(a, 1, 2, 1), "K and V go in once for each query tile, not once in all."}};
    return FIND(list, got);
}

static const char *explain_causal(const int64_t a[4], int64_t got)
{
    int64_t n = a[0];
    const mistake list[] = {
        {flash2(a, up(n, a[2]), 2, 1), "This is without a mask: which key tiles does a query tile need?"},
        {flash2(a, up(n, a[2]), 1, 1),
         "It is not simply half: the last row of a query tile decides which key tiles are loaded."},
        {causal(a, false, false, false, up),
         "The last key tile ends at the end of the sequence: rows that are not there are not loaded."},
        {causal(a, false, true, true, up),
         "A key tile is loaded whole, also where only its first keys are seen."},
        {causal(a, true, false, true, up),
         "The last row of a query tile decides which key tiles are loaded, not the first."},
        {causal(a, false, false, true, down), too_few},
        {causal(a, false, false, true, one_more), too_many},
        {causal(a, false, false, true, up) - n, "LSE is missing: n more go out."}};
    return FIND(list, got);
}

static const char *explain_bytes(const int64_t a[4], int64_t got)
{
    int64_t n = a[0];
    const mistake list[] = {{flash2(a, up(n, a[2]), 2, 1) * a[3], "LSE has 4 bytes, whatever the type of Q."},
                            {flash2(a, up(n, a[2]), 2, 0) * a[3], "LSE is missing: 4 bytes a row."},
                            {flash2(a, up(n, a[2]), 2, 1) * a[3] + 4 * n,
                             "LSE is in it twice: once by element, once with 4 bytes."}};
    return FIND(list, got);
}

static const char *explain_block_n(const int64_t a[4], int64_t got)
{
    const mistake list[] = {
        {up(a[0], 4 * a[1] * a[2]), "Four tiles of that size do not fit: it is rounded up."},
        {a[0] / (4 * a[1] * a[2]) + 1, "Four tiles of that size do not fit: it is rounded up."},
        {a[0] / (4 * a[1]), "The SRAM is given in bytes, and an element has element_bytes of them."}};
    return FIND(list, got);
}

static const char *explain_block_m(const int64_t a[4], int64_t got)
{
    const mistake list[] = {
        {a[0] / (a[1] * a[2]) - 2 * a[3],
         "Both Q and O have block_m rows, and both must fit: that is half as many."},
        {a[0] / (a[1] * a[2]) / 2 - a[3], "Where K and V leave no room it is 0."},
        {a[0] / (4 * a[1] * a[2]), "That is block_n by the other rule: here K and V have block_n rows."}};
    return FIND(list, got);
}

static const char *explain_crossover(const int64_t a[4], int64_t got)
{
    int64_t n = a[0], d = a[1];
    const mistake list[] = {
        {4 * d * a[2] * first_block(a, textbook(a), true, n),
         "With so much, FlashAttention moves exactly as much as standard attention, not less."},
        {4 * d * a[2] * first_block(a, textbook(a), false, n - 1),
         "With block_n = n, the whole of K and V in one pass, it is fewer."},
        {4 * d * a[2] * first_block(a, textbook(a), true, n - 1),
         "Is block_n = n tried too, and is it fewer that counts, not as few?"},
        {4 * d * a[2] * first_block(a, tiled(a, up(n, 64), up(n, 64), up(n, 64), 1, 1), false, n),
         "Compared with tiled products; the textbook's ledger, standard_elements(), is meant."},
        {first_block(a, textbook(a), false, n),
         "That is block_n; asked for are the bytes of four such tiles."},
        {4 * d * first_block(a, textbook(a), false, n), "An element has element_bytes bytes."},
        {d * a[2] * first_block(a, textbook(a), false, n), "Four such tiles must fit, not one."}};
    return FIND(list, got);
}

const char *lab2_explain(int function, const int64_t a[4], int64_t got, int64_t want)
{
    static const char *(*const explain[])(const int64_t a[4], int64_t got) = {
        [LAB2_STANDARD] = explain_standard,  [LAB2_STANDARD_TILED] = explain_standard_tiled,
        [LAB2_FLASH1] = explain_flash1,      [LAB2_FLASH2] = explain_flash2,
        [LAB2_CAUSAL] = explain_causal,      [LAB2_BYTES] = explain_bytes,
        [LAB2_BLOCK_N] = explain_block_n,    [LAB2_BLOCK_M] = explain_block_m,
        [LAB2_CROSSOVER] = explain_crossover};
    if (want > INT32_MAX && (got == (int32_t)(uint32_t)want || got == (uint32_t)want))
        return "That is what fits into 32 bits of it: are all products computed in 64 bits?";
    return explain[function](a, got);
}
