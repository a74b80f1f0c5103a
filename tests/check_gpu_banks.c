/* Shared memory without a GPU: how many ways the fragment loads of rungs 25 to 30 collide in its 32 banks of 4 bytes,
 * worked out from the address arithmetic in their top comments. */
#include "check_tilewise.h"

#include <stdbool.h>
#include <string.h>

enum { BANKS = 32, LANES = 32, WORD = 4 };

/* How often the busiest bank must be read: lanes that want the same word share it. */
static int ways(const int *word, int lanes)
{
    int busiest = 0;
    for (int bank = 0; bank < BANKS; bank++) {
        int different = 0;
        for (int i = 0; i < lanes; i++) {
            bool seen = word[i] % BANKS != bank;
            for (int j = 0; j < i; j++)
                seen = seen || word[j] == word[i];
            different += !seen;
        }
        busiest = different > busiest ? different : busiest;
    }
    return busiest;
}

/* ---- 25_mma and 26_cp_async: rows of head_dim elements of 2 bytes, padded ---------------------------------- */

/* along_row(): lane 4g + t reads the 32-bit word with elements 2t, 2t + 1 of row g. */
static int row_ways(int head_dim, int pad_bytes)
{
    int word[LANES];
    for (int lane = 0; lane < LANES; lane++)
        word[lane] = (lane / 4 * (2 * head_dim + pad_bytes) + lane % 4 * 4) / WORD;
    return ways(word, LANES);
}

/* along_column(): lane 4g + t reads 16 bits, element g of row 2t. */
static int column_ways(int head_dim, int pad_bytes)
{
    int word[LANES];
    for (int lane = 0; lane < LANES; lane++)
        word[lane] = (lane % 4 * 2 * (2 * head_dim + pad_bytes) + lane / 4 * 2) / WORD;
    return ways(word, LANES);
}

static const int padded_dims[] = {64, 128};

START_TEST(test_padding_of_16_bytes_is_free_of_conflicts)
{
    ck_assert_int_eq(row_ways(padded_dims[_i], 16), 1);
    ck_assert_int_eq(column_ways(padded_dims[_i], 16), 1);
    ck_assert_int_eq(row_ways(padded_dims[_i], 0), 8);
}
END_TEST

/* Rows of whole 32-byte sectors are what the fill counter wants of cp.async; no padding of that kind is free. */
START_TEST(test_padding_of_whole_sectors_never_is)
{
    for (int pad = 0; pad <= 512; pad += 32)
        ck_assert_msg(row_ways(padded_dims[_i], pad) >= 2, "head_dim %d, %d bytes", padded_dims[_i], pad);
    ck_assert_int_eq(row_ways(padded_dims[_i], 32), 2);
    ck_assert_int_eq(column_ways(padded_dims[_i], 32), 2);
}
END_TEST

/* ---- 27_swizzle and 30_flash2_mma: chunks of 16 bytes change places ---------------------------------------- */

/* Where chunk `chunk` of a row is stored, in chunks of the tile. */
static int place_of(int head_dim, int row, int chunk)
{
    int key = head_dim % 64 == 0 ? row % 8 : row / 2 % 4;
    return row * head_dim / 8 + (chunk ^ key);
}

static const int swizzled_dims[] = {64, 96, 128, 256};

/* ldmatrix reads a matrix in one go: a column of chunks, eight rows of 16 bytes, together all 32 banks. */
START_TEST(test_a_column_of_chunks_lies_in_all_banks)
{
    int head_dim = swizzled_dims[_i];
    for (int first_row = 0; first_row < 64; first_row += 8)
        for (int chunk = 0; chunk < head_dim / 8; chunk++) {
            int word[LANES];
            for (int i = 0; i < LANES; i++)
                word[i] = place_of(head_dim, first_row + i / 4, chunk) * 4 + i % 4;
            ck_assert_int_eq(ways(word, LANES), 1);
        }
}
END_TEST

/* No two chunks share a place, each stays in its row, and the two halves of a 32-byte sector stay together: a copy
 * fetches every sector once. */
START_TEST(test_swizzled_rows_keep_their_sectors)
{
    int head_dim = swizzled_dims[_i], chunks = head_dim / 8;
    for (int row = 0; row < 16; row++) {
        bool taken[64] = {false};
        for (int chunk = 0; chunk < chunks; chunk++) {
            int place = place_of(head_dim, row, chunk) - row * chunks;
            ck_assert_msg(place >= 0 && place < chunks && !taken[place], "row %d, chunk %d", row, chunk);
            taken[place] = true;
            int other = place_of(head_dim, row, chunk ^ 1) - row * chunks;
            ck_assert_int_eq(place / 2, other / 2);
        }
    }
}
END_TEST

Suite *tw_suite_gpu_banks(void)
{
    Suite *suite = suite_create("gpu_banks");
    TCase *core = tcase_create("core");
    tcase_add_loop_test(core, test_padding_of_16_bytes_is_free_of_conflicts, 0, 2);
    tcase_add_loop_test(core, test_padding_of_whole_sectors_never_is, 0, 2);
    tcase_add_loop_test(core, test_a_column_of_chunks_lies_in_all_banks, 0, 4);
    tcase_add_loop_test(core, test_swizzled_rows_keep_their_sectors, 0, 4);
    suite_add_tcase(suite, core);
    return suite;
}
