/* The walk of a block over its keys, and its place in the grid, as 30_flash2_mma computes them: every slice once, every
 * tile in its place of the ring of two before it is used. */
#include "../gpu/kv_walk.h"
#include "check_tilewise.h"

#include <string.h>

enum { MAX_KEYS = 700 };

static const struct {
    int block_n, slice;
} forms[] = {{128, 64}, {64, 32}, {64, 64}, {128, 32}};
enum { NUM_FORMS = sizeof forms / sizeof forms[0] };

/* What the kernel does with the ring: places 0 and 1, tile j in place j % 2. */
static void walk(int keys, int block_n, int slice, int backward)
{
    int seen[MAX_KEYS] = {0}, ring[2] = {-1, -1}, first = tw_kv_first(keys, block_n, backward);
    if (keys > 0)
        ring[first / block_n % 2] = first; /* the prologue */
    for (int n0 = first; tw_kv_more(n0, keys, backward);
         n0 = tw_kv_next_slice(n0, slice, block_n, backward)) {
        if (n0 % block_n == 0) {
            int next = tw_kv_next_tile(n0, block_n, backward);
            if (tw_kv_more(next, keys, backward)) {
                ck_assert_int_ne(next / block_n % 2, n0 / block_n % 2); /* the other place */
                ring[next / block_n % 2] = next;
            }
        }
        int tile = n0 / block_n * block_n;
        ck_assert_msg(ring[tile / block_n % 2] == tile, "%d keys: tile %d is not in its place", keys, tile);
        for (int key = n0; key < n0 + slice && key < keys; key++)
            seen[key]++;
    }
    for (int key = 0; key < keys; key++)
        ck_assert_msg(seen[key] == 1, "key %d of %d was seen %d times", key, keys, seen[key]);
}

START_TEST(test_every_key_once)
{
    for (int keys = 0; keys < MAX_KEYS; keys++)
        walk(keys, forms[_i / 2].block_n, forms[_i / 2].slice, _i % 2);
}
END_TEST

/* Which key tiles a block of 3 tiles visits, in order. */
START_TEST(test_direction)
{
    static const int forward[] = {0, 64, 128}, backward[] = {128, 64, 0};
    for (int i = 0, n0 = tw_kv_first(150, 64, 0); i < 3; i++, n0 = tw_kv_next_tile(n0, 64, 0))
        ck_assert_int_eq(n0, forward[i]);
    for (int i = 0, n0 = tw_kv_first(150, 64, 1); i < 3; i++, n0 = tw_kv_next_tile(n0, 64, 1))
        ck_assert_int_eq(n0, backward[i]);
}
END_TEST

/* A launch in any order computes every tile of every head. */
START_TEST(test_every_place_once)
{
    enum { TILES = 7, HEADS = 5 };
    for (int causal = 0; causal < 2; causal++) {
        int seen[TILES][HEADS];
        memset(seen, 0, sizeof seen);
        for (int n = 0; n < TILES * HEADS; n++) {
            tw_grid_place at = tw_order_place((tw_order)_i, n, TILES, HEADS, causal);
            ck_assert(at.tile >= 0 && at.tile < TILES && at.head >= 0 && at.head < HEADS);
            seen[at.tile][at.head]++;
        }
        for (int i = 0; i < TILES * HEADS; i++)
            ck_assert_int_eq(seen[i / HEADS][i % HEADS], 1);
    }
}
END_TEST

Suite *tw_suite_gpu_walk(void)
{
    Suite *suite = suite_create("gpu_walk");
    TCase *core = tcase_create("core");
    tcase_add_loop_test(core, test_every_key_once, 0, 2 * NUM_FORMS);
    tcase_add_test(core, test_direction);
    tcase_add_loop_test(core, test_every_place_once, 0, TW_NUM_ORDERS);
    suite_add_tcase(suite, core);
    return suite;
}
