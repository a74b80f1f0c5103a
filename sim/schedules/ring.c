/*
 * Ring attention on P devices: each has a P-th of Q, K and V. In each of P steps a device works with the part of K and V
 * that it has, and passes it on to the next device meanwhile; behind the last step every part has been everywhere.
 * Liu, Zaharia, Abbeel 2023, arXiv:2310.01889. Striped: row i on device i mod P, so that under a causal mask every step
 * gives every device about the same work. Brandon et al. 2023, arXiv:2311.09431.
 *
 * Offloaded: one device, K and V in a second memory, the host's; a part at a time comes over the link.
 *
 * Traffic per head: over the link (P − 1) · 2Nd elements, offloaded 2Nd. Into and out of the SMs, for every query tile and
 * every part of which it sees a key: Q, O, m and l in, O, m and l out; K and V as in flash2. O = 0, m = −inf, l = 0 are in
 * HBM before and not charged.
 */
#include "registry.h"
#include "schedule_language.h"

/* One thread block: one tile of the device's query rows, against the keys that the device has in this step. */
static void ring_block(tw_emitter *e, const tw_problem *p, const tw_tiling *t, tw_block b)
{
    (void)p, (void)t;
    tw_slot q = {-1}, o = {-1};
    tw_row_stats st = {{-1}, {-1}, {-1}};
    for (tw_walk kv = tw_walk_keys(e, b.i); tw_step(&kv);) {
        if (kv.is_first) { /* where the step before left off: not at all where no row sees a key */
            q = load(e, TW_Q, b, b.i);
            o = load(e, TW_O, b, b.i);
            tw_slot m = load(e, TW_M, b, b.i), l = load(e, TW_L, b, b.i);
            st = row_stats_of(e, m, l);
        }
        tw_slot k = load(e, TW_K, b, kv.tile);
        tw_slot s = matmul_nt(e, q, k);
        mask(e, s);
        if (kv.is_first)
            online_softmax_normalized(e, s, st); /* O came divided by l */
        else
            online_softmax(e, s, st);
        rescale(e, o, st);
        dropout(e, s);
        convert_for_unit(e, s);
        tw_slot v = load(e, TW_V, b, kv.tile);
        matmul_add(e, o, s, v);
        release(e, s);
        release(e, k);
        release(e, v);
        if (kv.is_last) {
            normalize(e, o, st);
            store(e, TW_O, b, o);
            store(e, TW_M, b, st.m);
            store(e, TW_L, b, st.l);
            release(e, q);
            release(e, o);
            release_stats(e, st);
        }
    }
}

/* The three are alike but for where rows lie, and what is at the other end of the link. */
#define RING(ID, SPREAD, TAKES, SUMMARY, PAPER, YEAR)                                                        \
    {                                                                                                        \
        .name = ID, .file = "ring.c", .summary = SUMMARY,                                                    \
        .ledger =                                                                                            \
            "tiled, for each part of the keys: Q, O, m, l in, O, m, l out, K and V once per query tile",     \
        .paper = PAPER, .year = YEAR, .num_launches = 1, .honours = TW_HONOURS_RUNS | TW_HONOURS_WIDTHS,     \
        .takes = TAKES, .suits = tw_suits_nobody,                                                            \
        .launches = {{.name = ID,                                                                            \
                      .block = ring_block,                                                                   \
                      .grid_i = TW_AXIS_Q_TILES,                                                             \
                      .blocks_differ = true,                                                                 \
                      .reads = TW_SET(TW_Q) | TW_SET(TW_K) | TW_SET(TW_V) | TW_SET(TW_O) | TW_SET(TW_M) |    \
                               TW_SET(TW_L),                                                                 \
                      .writes = TW_SET(TW_O) | TW_SET(TW_M) | TW_SET(TW_L),                                  \
                      .spread = SPREAD,                                                                      \
                      .travels = TW_SET(TW_K) | TW_SET(TW_V)}},                                              \
        .writes_lse = true, .initialized = TW_SET(TW_O) | TW_SET(TW_M) | TW_SET(TW_L)                        \
    }

const tw_schedule tw_schedule_ring = RING("ring", TW_SPREAD_RING, TW_TAKES_DEVICES,
                                          "ring attention: K and V travel around P devices, contiguous parts",
                                          "Liu et al., arXiv:2310.01889", 2023);
const tw_schedule tw_schedule_ring_striped = RING("ring_striped", TW_SPREAD_STRIPED, TW_TAKES_DEVICES,
                                                  "striped ring attention: row i on device i mod P",
                                                  "Brandon et al., arXiv:2311.09431", 2023);
const tw_schedule tw_schedule_offload = RING("offload", TW_SPREAD_HOST, TW_TAKES_HOST,
                                             "K and V in the host's memory, a part at a time over the link",
                                             NULL, 0);
