/* Lab 2: the student's formulas against what the simulator counts, operation by operation. */
#include "../../../sim/schedules/registry.h"
#include "judge.h"
#include "questions.h"

/* The call as the student would write it. */
static void write_call(char *text, size_t size, const char *name, int function, const int64_t a[4])
{
    static const int arity[] = {[LAB2_STANDARD] = 2, [LAB2_STANDARD_TILED] = 4, [LAB2_FLASH1] = 3,
                                [LAB2_FLASH2] = 3,   [LAB2_CAUSAL] = 4,         [LAB2_BYTES] = 4,
                                [LAB2_BLOCK_N] = 3,  [LAB2_BLOCK_M] = 4,        [LAB2_CROSSOVER] = 3};
    int used = snprintf(text, size, "%s(", name);
    for (int i = 0; i < arity[function]; i++)
        used += snprintf(text + used, size - (size_t)used, i ? ", %lld" : "%lld", (long long)a[i]);
    snprintf(text + used, size - (size_t)used, ")");
}

/* Why a number is wrong: first what it may be built on, then its own usual mistake, then what to think of. */
static const char *reason(const lab_item *built_on, int function, const int64_t a[4], int64_t got,
                          int64_t want, const char *hint)
{
    if (built_on && built_on->lost)
        return "What it can be built on is wrong, too: repair the items above first.";
    const char *mistake = lab2_explain(function, a, got, want);
    return mistake ? mistake : hint;
}

static void expect(lab_judge *judge, lab_item *item, int function, const int64_t a[4], int64_t want,
                   const char *name, const lab_item *built_on, const char *hint)
{
    char call[160];
    write_call(call, sizeof call, name, function, a);
    lab_message_clear(&judge->question, function);
    for (int i = 0; i < 4; i++)
        lab_message_int(&judge->question, a[i]);
    if (!lab_judge_ask(judge, item, call, 1, 0))
        return;
    int64_t got = judge->answer.ints[0];
    if (lab_judge_is_unwritten(judge, function, got == -1))
        lab_lose(item, "%s is not written yet.", name);
    else if (got != want)
        lab_lose(item, "%s is %lld, it should be %lld. %s", call, (long long)got, (long long)want,
                 reason(built_on, function, a, got, want, hint));
}

/* One shape: a small one to be worked out by hand, where usual mistakes give numbers of their own; lengths that tiles
 * divide and that they do not; one beyond 32 bits; one row. The shape of the handout's paper task is not among them. */
typedef struct shape {
    int64_t n, d, m, k;
} shape;

enum { NUM_SHAPES = 6 };

static void make_shapes(lab_judge *judge, shape x[NUM_SHAPES])
{
    static const shape fixed[NUM_SHAPES] = {{13, 3, 5, 2},  {1024, 64, 64, 128},   {0, 0, 48, 80},
                                            {0, 0, 96, 33}, {32768, 128, 128, 64}, {1, 16, 64, 64}};
    for (int i = 0; i < NUM_SHAPES; i++) {
        x[i] = fixed[i];
        if (x[i].n == 0) /* 48 j + 7 … 48 j + 41: no block divides it evenly */
            x[i].n = 480 * lab_judge_pick(judge, 2, 9) + lab_judge_pick(judge, 7, 31);
        if (x[i].d == 0)
            x[i].d = 8 * lab_judge_pick(judge, 2, 20);
    }
}

static const char wide[] = "Are all products computed in 64 bits?";

/* The item about the textbook's ledger, on which another one builds. */
static const lab_item *judge_standard(lab_judge *judge, const shape *x)
{
    lab_item *book = lab_report_item(judge->report, 5, "standard attention, the textbook's ledger");
    lab_item *tiled = lab_report_item(judge->report, 10, "standard attention, tiled products");
    for (int i = 0; i < NUM_SHAPES; i++) {
        const int64_t a[4] = {x[i].n, x[i].d, x[i].m, x[i].k};
        expect(judge, book, LAB2_STANDARD, a, lab2_elements(&tw_schedule_standard, a[0], a[1], a[2], a[3]),
               "standard_elements", NULL, i == 4 ? wide : "Q, K in, S out; S in, P out; P, V in, O out.");
        expect(judge, tiled, LAB2_STANDARD_TILED, a,
               lab2_elements(&tw_schedule_standard_tiled, a[0], a[1], a[2], a[3]), "standard_tiled_elements",
               NULL,
               i == 4 ? wide
                      : "Q goes in once per key tile and K once per query tile; V once per query tile; LSE "
                        "goes out. A "
                        "last, shorter tile is a tile, too.");
    }
    return book;
}

/* Likewise about FlashAttention. */
static const lab_item *judge_flash(lab_judge *judge, const shape *x)
{
    lab_item *one = lab_report_item(judge->report, 10, "FlashAttention");
    lab_item *two = lab_report_item(judge->report, 10, "FlashAttention 2");
    lab_item *causal = lab_report_item(judge->report, 10, "FlashAttention 2 with a causal mask");
    lab_item *bytes = lab_report_item(judge->report, 5, "FlashAttention 2 in bytes");
    for (int i = 0; i < NUM_SHAPES; i++) {
        int64_t n = x[i].n, d = x[i].d, m = x[i].m, k = x[i].k;
        tw_counts masked = lab2_count(&tw_schedule_flash2, n, d, m, k, true);
        tw_counts plain = lab2_count(&tw_schedule_flash2, n, d, m, k, false);
        const char *tiles =
            i == 4 ? wide
                   : "How many passes are there? A last, shorter tile is a tile, too; m and l go "
                     "in and out with O in each of them.";
        expect(judge, one, LAB2_FLASH1, (int64_t[]){n, d, k, 0},
               lab2_elements(&tw_schedule_flash1, n, d, m, k), "flash1_elements", NULL, tiles);
        expect(judge, two, LAB2_FLASH2, (int64_t[]){n, d, m, 0},
               plain.sram_fill_elements + plain.sram_drain_elements, "flash2_elements", NULL,
               i == 4 ? wide
                      : "Q and O once, K and V once for each query tile, the last one too; LSE is n more.");
        expect(judge, causal, LAB2_CAUSAL, (int64_t[]){n, d, m, k},
               masked.sram_fill_elements + masked.sram_drain_elements, "flash2_causal_elements", NULL,
               i == 4 ? wide
                      : "The last row of a query tile decides which key tiles are loaded, and each of them "
                        "is loaded "
                        "whole, up to the end of the sequence.");
        expect(judge, bytes, LAB2_BYTES, (int64_t[]){n, d, m, 2},
               plain.sram_fill_bytes + plain.sram_drain_bytes, "flash2_bytes", two,
               i == 4 ? wide : "LSE has 4 bytes, whatever the type of Q.");
    }
    return one;
}

static void judge_tiles(lab_judge *judge)
{
    lab_item *n = lab_report_item(judge->report, 5, "block_n by FlashAttention's rule");
    lab_item *m = lab_report_item(judge->report, 5, "the largest block_m that fits");
    for (int i = 0; i < 12; i++) {
        int64_t d = 8 * lab_judge_pick(judge, 1, 24), element = i % 2 ? 4 : 2,
                block_n = 8 * lab_judge_pick(judge, 1, 16);
        const int64_t at_an_edge[] = {d,                                /* nothing fits */
                                      2 * block_n * d * element,        /* K and V alone */
                                      (2 * block_n + 2) * d * element,  /* exactly a row of Q and of O */
                                      (2 * block_n + 14) * d * element, /* exactly 7 */
                                      4 * 9 * d * element,              /* exactly 9 rows of each */
                                      4 * 9 * d * element - 1};
        int64_t sram = 1000 * lab_judge_pick(judge, 30, 230) + 1;
        if (i < (int)(sizeof at_an_edge / sizeof at_an_edge[0]))
            sram = at_an_edge[i];
        int64_t rows = sram / (d * element) - 2 * block_n;
        expect(judge, n, LAB2_BLOCK_N, (int64_t[]){sram, d, element, 0}, sram / (4 * d * element),
               "flash1_block_n", NULL,
               "Four tiles of block_n x d elements must fit; rounded up, they do not.");
        expect(judge, m, LAB2_BLOCK_M, (int64_t[]){sram, d, element, block_n}, rows > 1 ? rows / 2 : 0,
               "flash2_block_m", NULL,
               "2 block_m + 2 block_n rows of d elements must fit; 0 where K and V leave no room.");
    }
}

/* The next length from n on at which the crossover's tiles divide the sequence: there a tile too many shows. */
static int64_t divided_length(int64_t n, int64_t d)
{
    for (int tries = 0; tries < 2000; tries++, n++) {
        int64_t bytes = lab2_crossover(n, d, 2);
        if (bytes && n % (bytes / (8 * d)) == 0)
            return n;
    }
    return n;
}

/*
 * Where a mistake at the edge shows: FlashAttention moves as much as standard attention with some block_n, or less with
 * block_n = n alone, or both; and never less.
 */
static const struct edge {
    int64_t n, d;
} edges[] = {{18, 16}, {44, 16}, {66, 64}, {16, 16}, {17, 64}, {9, 32}, {4, 2}, {4, 64}};
enum { NUM_EDGES = sizeof edges / sizeof edges[0] };

/* Many lengths, so that a mistake shows whatever they are: a grade must not depend on luck. */
static void judge_crossover(lab_judge *judge, const lab_item *built_on)
{
    lab_item *item = lab_report_item(judge->report, 5, "the SRAM at which FlashAttention begins to pay");
    for (int i = 0; i < 32 + NUM_EDGES; i++) {
        int64_t d = i % 3 ? 64 : 128, element = i % 2 ? 4 : 2, n = lab_judge_pick(judge, 400, 1500);
        if (i >= 2 && i < 2 + NUM_EDGES)
            n = edges[i - 2].n, d = edges[i - 2].d;
        else if (i < 2)
            n = i == 0 ? 1024 : divided_length(n, d);
        int64_t want = lab2_crossover(n, d, element);
        expect(judge, item, LAB2_CROSSOVER, (int64_t[]){n, d, element, 0}, want, "crossover_sram_bytes",
               built_on,
               want == 0 ? "For so short a sequence not even a single pass is cheaper: then it is 0."
                         : "The smallest block_n for which flash1_elements() < standard_elements(), and the "
                           "bytes of four such tiles. Compare with the textbook's ledger.");
    }
}

void lab_judge_code(lab_judge *judge)
{
    shape shapes[NUM_SHAPES];
    make_shapes(judge, shapes);
    const lab_item *standard = judge_standard(judge, shapes);
    lab_report_settle(judge->report);
    const lab_item *flash1 = judge_flash(judge, shapes);
    lab_report_settle(judge->report);
    judge_tiles(judge);
    lab_report_settle(judge->report);
    judge_crossover(judge, standard->lost ? standard : flash1);
}
