/**
 * @file tile_ops.h
 * @brief The tile language: what an attention algorithm is made of, seen from the memory system.
 *
 * A schedule calls the functions of this header; each call emits one tw_op to a back end, which counts it
 * (backend_count.h) or executes it (backend_numeric.h). The schedule is written once and knows neither.
 *
 * A tile of codes (quantize.h) brings its scales along in a slot of their own, which products read and which is released with
 * it: no schedule says so.
 *
 * @verbatim
 *    HBM tensors            on chip: slots                        places
 *    Q K V  ──── load ────▶ [tile of Q] [tile of K] [tile of V]   shared memory, input's type
 *                           [S → P]  [O]  [m] [l] [alpha]         registers, fp32
 *    O LSE  ◀─── store ────
 * @endverbatim
 *
 * Rules, checked by the emitter: a slot is written before it is read; what is written is read before it is
 * overwritten or released; every slot is released by the end of its block; a slot is what it is used as
 * (scores are S until a softmax makes them P; with dropout P ∘ Z is multiplied, and never P), and P and O are
 * normalised before they are stored; a launch touches only the tensors that it declares; a walk is left by its end
 * alone; what is live at one time fits on chip. The first broken rule is remembered
 * (tw_emitter_status()) and everything after it is ignored, so a schedule needs no error handling.
 */
#ifndef TW_TILE_OPS_H
#define TW_TILE_OPS_H

#include "../cpu_ref/problem.h"
#include "../cpu_ref/status.h"
#include "../cpu_ref/tile_map.h"
#include "machine.h"
#include "tiling.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Tensors that live in HBM. Which of them an algorithm needs is declared by its launches. */
typedef enum tw_tensor {
    TW_Q,         /**< seqlen_q × head_dim a query head, input's type */
    TW_K,         /**< seqlen_k × head_dim a K/V head, input's type */
    TW_V,         /**< like K, head_dim_v columns; the first of K's where the problem says so */
    TW_O,         /**< like Q, head_dim_v columns */
    TW_S,         /**< scores, seqlen_q × seqlen_k a query head, input's type */
    TW_P,         /**< probabilities, like S */
    TW_LSE,       /**< fp32, seqlen_q a query head */
    TW_M,         /**< row maxima that FlashAttention 1 keeps in HBM, fp32, seqlen_q a query head */
    TW_L,         /**< and its row sums */
    TW_BIAS,      /**< relative bias, seqlen_q × seqlen_k a query head or for all, input's type */
    TW_SINK,      /**< sink logits, fp32, one a query head */
    TW_TILE_LIST, /**< 4-byte integers: for each tile of one axis the tiles of the other that are not empty */
    TW_DO,        /**< gradients: of O, which the backward pass begins with; like O */
    TW_DQ,        /**< like Q */
    TW_DK,        /**< like K */
    TW_DV,        /**< like V */
    TW_DP,        /**< of P, like P */
    TW_DS,        /**< of S, like S */
    TW_D,         /**< rowsum(dO ∘ O) = rowsum(P ∘ dP), fp32, seqlen_q a query head */
    TW_DQ_SUM,    /**< what of dQ has been summed, fp32, shape of Q */
    TW_Z,         /**< the dropout mask, a byte an element, shape of P; the fused algorithms never have it */
    TW_PZ,        /**< P ∘ Z, like P */
    TW_DPZ,       /**< its gradient dO Vᵀ, like P */
    TW_TURN,      /**< in no memory: what tw_give_turn() hands to tw_take_turn() */
    TW_O_PART,   /**< partial O of each split of the keys, fp32: seqlen_q rows for each, head_dim_v columns */
    TW_LSE_PART, /**< LSE of each split, or its row sums l, fp32: seqlen_q rows for each */
    TW_PAGE_TABLE, /**< 4-byte integers: where the pages of K and V are, for each sequence */
    TW_Q_SCALE, /**< what codes of Q are worth, fp32, a number for each block of rows, row, or all: quantize.h */
    TW_K_SCALE,    /**< likewise */
    TW_V_SCALE,    /**< likewise */
    TW_Q_INDEX,    /**< of sorted query rows: which row each is, and its bucket; two 4-byte integers */
    TW_K_INDEX,    /**< of sorted keys */
    TW_PROJECTION, /**< E, rank × seqlen_k, one for all heads, input's type */
    TW_KP,         /**< K' = E K, rank × head_dim a K/V head */
    TW_VP,         /**< V' = E V */
    TW_NUM_TENSORS
} tw_tensor;

/** Set of tensors, for a launch's declaration: TW_SET(TW_Q) | TW_SET(TW_K). */
#define TW_SET(tensor) (UINT64_C(1) << (tensor))

/** Shape of a tensor, for one head of one batch element. */
typedef struct tw_tensor_shape {
    int64_t rows;   /**< seqlen_q or seqlen_k */
    int64_t cols;   /**< head_dim, seqlen_k, or 1 */
    int heads;      /**< num_heads or num_heads_kv */
    tw_dtype dtype; /**< the input's, or fp32 for row statistics */
} tw_tensor_shape;

/** Bytes of one element: those of its type, and 1 for Z. */
int tw_tensor_element_bytes(tw_tensor tensor, const tw_problem *problem);

/** "Q", "K", …, "LSE". */
const char *tw_tensor_name(tw_tensor tensor);

/** The shape that a tensor has in a problem. */
tw_tensor_shape tw_tensor_shape_of(tw_tensor tensor, const tw_problem *problem);

/** Where a tensor lies in HBM: V may be a part of K, and is then not read again behind an L2. */
tw_tensor tw_tensor_home(tw_tensor tensor, const tw_problem *problem);

/**
 * @brief A tile: rows [row0, row0 + rows) of one axis.
 *
 * A back end that only counts visits one of a run of equal tiles: then `run` tiles of this size stand one
 * behind the other, beginning at row0, and everything emitted counts `run` times.
 */
typedef struct tw_tile {
    int64_t index; /**< 0 … number of tiles − 1 */
    int64_t row0;  /**< its first row */
    int rows;      /**< real rows; the last tile may be shorter */
    int box_rows;  /**< rows of a whole tile */
    int64_t run;   /**< 1, unless equal tiles are taken together */
    int stride;    /**< rows from one tile of a run to the next; 0: they lie one behind the other */
} tw_tile;

/** What one thread block works on. */
typedef struct tw_block {
    int batch; /**< sequence */
    int head;  /**< query head */
    tw_tile i; /**< tile of the launch's first grid axis; the whole axis where the grid has none */
    tw_tile j; /**< of the second */
} tw_block;

/** What a schedule talks to. */
typedef struct tw_emitter tw_emitter;

/** A tile on chip; handle into the emitter's slot table. */
typedef struct tw_slot {
    int id; /**< −1 after an error */
} tw_slot;

/** The row state of online softmax: one number a row of a query tile each. */
typedef struct tw_row_stats {
    tw_slot m;     /**< running maximum */
    tw_slot l;     /**< running sum */
    tw_slot alpha; /**< what the sums so far must be scaled by after the last step */
} tw_row_stats;

/** Kinds of operation. `dst` is the slot written, `a` and `b` are read. */
typedef enum tw_op_kind {
    TW_OP_LOAD,           /**< tensor → dst */
    TW_OP_STORE,          /**< a → tensor */
    TW_OP_FILL,           /**< dst = value, or a's numbers, one a row */
    TW_OP_MATMUL_NT,      /**< dst = scale · a bᵀ */
    TW_OP_MATMUL_ADD,     /**< dst += scale · a b */
    TW_OP_MASK,           /**< dst = −inf where the mask says so */
    TW_OP_SOFTMAX,        /**< whole rows at once: m = rowmax dst, dst = e^(dst − m), l = rowsum dst */
    TW_OP_ONLINE_SOFTMAX, /**< one step: m, l advance, alpha = e^(m_old − m), dst = e^(dst − m) */
    TW_OP_ROW_STATS,      /**< one step of m and l alone; dst stays as it is */
    TW_OP_SOFTMAX_APPLY,  /**< dst = e^(dst − m) / l with m, l final */
    TW_OP_RESCALE,        /**< dst = alpha · dst, row by row */
    TW_OP_CONVERT,        /**< dst rounded to another type, in place */
    TW_OP_NORMALIZE,      /**< dst = dst / l, row by row */
    TW_OP_LSE,            /**< dst = LSE = m + ln l; dst is m */
    TW_OP_RELEASE,        /**< dst's place is free again */
    TW_OP_SCORE_MOD,      /**< dst: soft cap, ALiBi, bias (a, if there is one), callback */
    TW_OP_MATMUL_TN,      /**< dst += scale · aᵀ b */
    TW_OP_SOFTMAX_LSE,    /**< dst = e^(dst − a), a being LSE: P of a row that is known */
    TW_OP_ROW_DOT,        /**< dst += rowsum(a ∘ b) */
    TW_OP_DSOFTMAX,       /**< dst = a ∘ (dst − b): dS of P, dP and D */
    TW_OP_ATOMIC_ADD,     /**< tensor += a, whoever else adds to it meanwhile */
    TW_OP_DROPOUT_MASK,   /**< dst = Z, 1 where kept */
    TW_OP_DROPOUT,        /**< dst = dst ∘ Z / (1 − p); Z made on the spot, or a */
    TW_OP_GIVE_TURN,      /**< dst: the turn is given */
    TW_OP_TAKE_TURN,      /**< a: the turn is taken */
    TW_OP_COMBINE,        /**< dst, m, l take in a split's O and LSE, which are a and b */
    TW_OP_FIX_MAX,        /**< m = value, l what it was of another m */
    TW_OP_FIXED_SOFTMAX,  /**< dst = e^(dst − m), l += rowsum; l = inf where a score leaves m's range */
    TW_OP_ADD_PART,       /**< dst += a, l += b: sums of a split, of the same m */
    TW_OP_SEND,           /**< rows of a tensor go over the link into another device's memory */
    TW_NUM_OPS
} tw_op_kind;

/** "load", "matmul_nt", … */
const char *tw_op_name(tw_op_kind kind);

/** One tile operation, as a back end sees it. */
typedef struct tw_op {
    tw_op_kind kind;    /**< what is done */
    int dst;            /**< id of the slot that is written, −1 if none */
    int a;              /**< read, −1 if none */
    int b;              /**< likewise */
    int scale_a;        /**< products: what the codes in a are worth, −1 where it holds numbers */
    int scale_b;        /**< likewise in b */
    tw_row_stats stats; /**< softmax operations, rescale, normalize, lse */
    double
        value; /**< fill: the value; products: the scale; convert: to codes of so many times the numbers, or 0 */
    tw_dtype dtype;  /**< convert: the new type */
    bool normalized; /**< online_softmax: O is kept divided by l, so alpha carries the old l */
    bool adds;       /**< matmul_nt: to what dst holds: a part of head_dim at a time */
    bool lazy;       /**< online_softmax, rescale: m moves on only by the tiling's rescale_log2 */

    tw_tensor tensor; /**< load, store, atomic_add */
    int batch;        /**< of the tensor */
    int head;         /**< likewise: a K/V head for K and V */
    tw_tile rows;     /**< of the tensor; whose run says how many equal tiles are meant */
    tw_tile cols;     /**< likewise; the whole width for Q, K, V, O */
    int multicast;    /**< load: number of blocks that one fetch serves */

    int64_t times; /**< how often this operation is executed, over all blocks it stands for */
    int agent;     /**< who issues it: 0 plain warps; 1 producer; 2, 3, … consumer warpgroups */
    int line;      /**< of the schedule's source */
} tw_op;

/** Which memory a slot is in. */
typedef enum tw_place {
    TW_PLACE_SMEM,      /**< shared memory, or the one SRAM of the machine `paper` */
    TW_PLACE_REGISTERS, /**< of all threads of a block together */
    TW_NUM_PLACES
} tw_place;

/** A slot as the emitter keeps it. */
typedef struct tw_slot_info {
    bool live;       /**< made and not yet released */
    bool written;    /**< has numbers in it */
    bool unread;     /**< what was written last has not been read */
    bool unscaled;   /**< some columns of O as they came from HBM: they have to be rescaled first */
    bool normalized; /**< P and O: divided by the row sums; a launch may store nothing less */
    bool
        is_alpha; /**< what a step of online softmax leaves to rescale by; `tensor` is then TW_L, of its shape */
    bool fixed;       /**< m: it is the tiling's phi, and does not move */
    tw_tensor tensor; /**< what this is a tile of; S becomes P, and M becomes LSE, by an operation */
    tw_place place;   /**< which memory it is in */
    tw_dtype dtype;   /**< of its numbers */
    tw_tile rows;     /**< of the tensor */
    tw_tile cols;     /**< likewise */
    int64_t bytes;    /**< charged while live */
    int scale;        /**< 1 + id of the slot that says what its codes are worth; 0: it holds numbers */
    double p_scale;   /**< P as codes: so many times P; 0: P itself */
} tw_slot_info;

/** Most slots that a block may have at one time. */
#define TW_MAX_SLOTS 40

/** A grid axis of a launch: one block per tile of it. */
typedef enum tw_axis {
    TW_AXIS_NONE,    /**< not cut: the block sees the whole axis */
    TW_AXIS_Q_TILES, /**< query rows, block_m at a time */
    TW_AXIS_Q_ROWS,  /**< query rows, one at a time */
    TW_AXIS_K_TILES, /**< key rows, block_n at a time */
    TW_AXIS_SPLITS,  /**< the key tiles that a query tile sees, in num_splits parts */
    TW_AXIS_SHARES /**< key tiles of all query tiles, heads and sequences, in as many shares as blocks run at a time */
} tw_axis;

/** How a launch is spread over memories: what is nearer than what. */
typedef enum tw_sharing {
    TW_SPREAD_NONE,    /**< one device has everything */
    TW_SPREAD_RING,    /**< device r has the r-th part of Q, K and V; K and V travel around */
    TW_SPREAD_STRIPED, /**< the same, but row i is on device i mod P */
    TW_SPREAD_HOST     /**< one device; K and V lie in a second memory and come a part at a time */
} tw_sharing;

/** Most parts that a launch can be spread over. */
#define TW_MAX_PARTS 64

/** One kernel launch: a grid of blocks, each of which runs `block`; per head and batch element. */
typedef struct tw_launch {
    const char *name; /**< "scores" */
    /** What one block does. */
    void (*block)(tw_emitter *e, const tw_problem *problem, const tw_tiling *tiling, tw_block b);
    tw_axis grid_i;   /**< first axis of the grid, besides heads and batch */
    tw_axis grid_j;   /**< second */
    bool per_kv_head; /**< a block works for all query heads of a K/V head; b.head is the first of them */
    /** A block's work depends on where its tile lies under a mask, not on its size alone. */
    bool blocks_differ;
    uint64_t reads;     /**< TW_SET() of tensors */
    uint64_t writes;    /**< likewise */
    tw_order order;     /**< in which blocks start, where the tiling names none; TW_ORDER_OWN is linear */
    bool only_if_split; /**< nothing runs where the keys are in one part */
    /** The grid runs once for every step and device: blocks see the device's query rows, and the keys that it has then. */
    tw_sharing spread;
    bool projected;   /**< the keys of its blocks are the rank projected ones */
    uint64_t travels; /**< TW_SET() of what goes on to the next device behind every step but the last */
} tw_launch;

/** Most launches of a schedule. */
#define TW_MAX_LAUNCHES 12

/** Which half of a training step an algorithm is. */
typedef enum tw_pass {
    TW_PASS_FORWARD, /**< O and LSE from Q, K, V */
    TW_PASS_BACKWARD /**< dQ, dK, dV from dO, Q, K, V and what the forward pass has left */
} tw_pass;

/** What a schedule honours beside causal; a problem that has more is refused. */
enum {
    TW_HONOURS_RUNS = 1,    /**< window, prefix, sinks, documents: masks that are runs of keys */
    TW_HONOURS_LISTS = 2,   /**< block masks and callbacks: tiles that must be listed */
    TW_HONOURS_SCORES = 4,  /**< soft cap, ALiBi, bias, callbacks on scores; sink logits */
    TW_HONOURS_PACKED = 8,  /**< packed sequences */
    TW_HONOURS_WIDTHS = 16, /**< another head_dim for V and O, V as a part of K */
    TW_HONOURS_ALL = 31,
    TW_HONOURS_CODES = 64 /**< besides: Q, K and V as codes with scales */
};

/** Parts of a tiling that single algorithms look at; an option for which nobody does is refused. */
enum {
    TW_TAKES_COLUMNS = 1, /**< block_d */
    TW_TAKES_LAZY = 2,    /**< rescale_log2, poly_share, poly_degree */
    TW_TAKES_DEVICES = 4, /**< parts, as devices */
    TW_TAKES_HOST = 8     /**< parts, as those of a second memory */
};

/** An algorithm: its launches, in order. One file in schedules/ each; the registry lists them. */
typedef struct tw_schedule {
    const char *name;    /**< as users write it */
    const char *file;    /**< source file, below sim/schedules/ */
    const char *summary; /**< one line */
    const char *ledger;  /**< what its counts charge, for the line under every table */
    const char *paper;   /**< who published it, and where; NULL: nobody in particular */
    int year;            /**< of that; 0: none */
    tw_pass pass;        /**< which half of a training step */
    const char
        *variant_of; /**< the same tiles and counts in another order; shown only when asked for; NULL: none */
    int num_launches;                    /**< 1 … TW_MAX_LAUNCHES */
    tw_launch launches[TW_MAX_LAUNCHES]; /**< in order */
    bool ignores_sram; /**< the textbook's ledger: tiles are whole matrices, and nothing is checked */
    bool writes_lse;   /**< LSE is among its results */
    /** TW_SET() of tensors that must hold their starting values before the first launch; not counted. */
    uint64_t initialized;
    unsigned honours;  /**< TW_HONOURS_* */
    bool lists_tiles;  /**< the tiles of every mask are listed, of those that could do without too */
    bool needs_v_in_k; /**< for latent attention alone */
    /** NULL, or what it computes in place of attention, which it approximates: in double precision, from the definition. */
    tw_status (*reference)(double *o, const tw_problem *problem, const double *q, const double *k,
                           const double *v);
    bool sorts_rows; /**< queries and keys are sorted by bucket: it sees a view of them */
    int most_rows;   /**< longest seqlen_q and seqlen_k that it is for, scores being kept whole; 0: any */
    /** What Q, K and V must be, in words: "--quantize=int8 --scales=token"; NULL: anything. */
    const char *needs_codes;
    bool (*takes_codes)(const tw_quantize *quantize); /**< is that so? NULL: it always is */
    /** Query heads that share a K/V head are rows of one tile: it sees tw_problem_packed(). */
    bool packs_heads;
    bool fixed_max;                           /**< takes the tiling's phi in place of maxima */
    unsigned takes;                           /**< TW_TAKES_*: options that are its own */
    bool (*suits)(const tw_problem *problem); /**< offered where nobody names it; NULL: always */
    /** Tile sizes where the user gives none (0); NULL means TW_DEFAULT_BLOCK for both. */
    void (*default_tiling)(tw_tiling *tiling, const tw_problem *problem, const tw_machine *machine);
} tw_schedule;

/** Rows of a tile where neither the user nor the schedule says. */
#define TW_DEFAULT_BLOCK 128
/** Most rows of a tile. */
#define TW_MAX_BLOCK (1 << 24)

/** What reads the stream. */
typedef struct tw_backend {
    bool merges; /**< visits one of a run of equal tiles or blocks, and counts it as often */
    /** Visits the blocks of head 0 of batch element 0 alone, tiles ascending; the others are alike. */
    bool one_head;
    /** Before the first block of a launch. `self` is what was handed to tw_emit(), here and below. */
    tw_status (*begin_launch)(void *self, const tw_launch *launch);
    /** The blocks of e->head of e->batch are done; they stood for so many heads of so many batch elements. */
    tw_status (*end_head)(void *self, const tw_emitter *e, int64_t heads, int64_t batches);
    /** For each operation. An error ends the run. */
    tw_status (*op)(void *self, const tw_emitter *e, const tw_op *op);
    /** After all blocks of a device in a step of a ring, and what it sends; e says which. */
    tw_status (*end_part)(void *self, const tw_emitter *e);
    /** After a block: its slots are released, its peaks known. */
    tw_status (*end_block)(void *self, const tw_emitter *e);
    /** After the last block of a launch. */
    tw_status (*end_launch)(void *self, const tw_emitter *e);
    /** Is this block wanted? The others are passed over. NULL wants all. */
    bool (*wants)(void *self, const tw_emitter *e, tw_tile i, tw_tile j);
    /** Did scores of this block's rows leave the range of a fixed maximum? NULL, where no numbers are known: no. */
    bool (*left_range)(void *self, const tw_emitter *e, tw_row_stats st);
    /** May drop an operation before anybody sees it (tests do); NULL keeps all. */
    bool (*drop)(void *self, const tw_op *op);
} tw_backend;

/** A part of the key tiles that a query tile sees: a split, or what of a share belongs to that query tile. */
typedef struct tw_split {
    int index;     /**< among the parts of its query tile */
    int count;     /**< of these */
    int64_t first; /**< key tile, by index */
    int64_t end;   /**< the one behind the last */
} tw_split;

/** The emitter: slots, rules, and the first error. Back ends may read it. */
struct tw_emitter {
    const tw_problem *problem; /**< one sequence of the whole problem, heads packed if the schedule does so */
    const tw_problem *whole;   /**< as handed to tw_emit(), and so are the next three */
    const tw_tiling *tiling;   /**< tile sizes */
    const tw_machine *machine; /**< what fits on chip */
    const tw_schedule *schedule; /**< what runs */
    const tw_launch *launch;     /**< of it */
    const tw_backend *backend;   /**< who is called */
    void *self;                  /**< the back end's */

    tw_slot_info slots[TW_MAX_SLOTS];  /**< by id */
    int64_t live_bytes[TW_NUM_PLACES]; /**< of the block that runs */
    int64_t peak_bytes[TW_NUM_PLACES]; /**< likewise */
    int batch;                         /**< of the block that runs */
    int head;                          /**< likewise */
    tw_tile_map map;                   /**< the tiles of a listed mask; without, kind is NULL */
    int64_t times;                     /**< multiplicity of what is emitted now */
    int agent;                         /**< who issues the next operation */
    int line;                          /**< of the schedule's source */
    int multicast;                     /**< blocks that the next loads serve */
    int parts;                         /**< of a launch that is spread; 1 otherwise */
    int step;                          /**< of the ring that runs */
    int device;                        /**< that runs */
    int source;                        /**< the part of the keys that it has now */
    int open_walks;                    /**< begun, and not at their end; none when a block ends */
    int num_splits;                    /**< most parts of the keys of a query tile */
    tw_split part;                     /**< of the keys, which the block that runs works on */
    bool again;                        /**< what is emitted now was done before: numbers were out of range */
    tw_status status;                  /**< the first error */
};

/** The problem, whose blocks of scales are as large as tiles where it does not say. */
tw_problem tw_problem_in_tiles(const tw_problem *problem, const tw_tiling *tiling);

/** The problem with its query heads packed into rows, where the schedule does so. */
tw_problem tw_problem_seen_by(const tw_schedule *schedule, const tw_problem *problem);

/** TW_OK; TW_EUNSUPPORTED (the problem has something that the schedule does not honour; the line says what). */
TW_MUST_CHECK tw_status tw_honours_check(const tw_schedule *schedule, const tw_problem *problem);

/** TW_OK; TW_EUNSUPPORTED (splits, an order or a maximum that means nothing to the schedule); TW_EINVAL (of numbers). */
TW_MUST_CHECK tw_status tw_tiling_check(const tw_schedule *schedule, const tw_tiling *tiling);

/**
 * @brief Runs all blocks of all launches of a schedule through a back end.
 * @param[in] schedule, problem, tiling, machine  what runs, on what, in which tiles, in how much memory
 * @param[in] backend  whose functions are called
 * @param     self     handed to each of them
 * @return TW_OK; as tw_problem_check() and tw_honours_check(); TW_EINVAL (block sizes); TW_ESRAM (tiles do not fit;
 *         the line says by
 *         how much); TW_ESCHEDULE (a rule of the tile language is broken); what the back end returns
 */
TW_MUST_CHECK tw_status tw_emit(const tw_schedule *schedule, const tw_problem *problem,
                                const tw_tiling *tiling, const tw_machine *machine, const tw_backend *backend,
                                void *self);

/** @name Walks
 * The loops of a schedule. Tiles that the mask leaves empty are passed over. Where the mask is listed, a walk loads
 * the list of its tiles when it begins.
 * @{ */

/**
 * @brief A loop over tiles.
 *
 *     for (tw_walk kv = tw_walk_keys(e, b.i); tw_step(&kv);) … kv.tile …
 *
 * The first and the last tile are always visited by themselves; between them, a counting back end takes tiles whose
 * body is the same (whole, and not cut by the mask) together. Leave a walk only by its end.
 */
typedef struct tw_walk {
    tw_tile tile;  /**< now */
    bool is_first; /**< there was none before */
    bool is_last;  /**< there will be none after */
    /** @cond private */
    tw_emitter *e;
    tw_tile across;    /* the tile of the other axis that sees, or is seen */
    bool over_queries; /* the walk's tiles are query rows */
    bool everything;   /* whatever the mask says */
    tw_tile_kind only; /* tiles of this kind alone; empty: all that are not */
    bool backward;     /* from the last tile to the first */
    bool begun;
    int64_t first, next, end; /* tile indices */
    int64_t length;           /* of the axis, in rows */
    int block;                /* rows of a tile */
    int64_t outer_times;
    tw_slot list; /* where the mask is listed */
    bool open;    /* begun, and not at its end */
    /** @endcond */
} tw_walk;

/** Key tiles of which at least one of the query rows `rows` sees something, in the tiling's kv_order. */
tw_walk tw_walk_keys(tw_emitter *e, tw_tile rows);
/** Of those the partial or the full ones alone. */
tw_walk tw_walk_keys_of(tw_emitter *e, tw_tile rows, tw_tile_kind kind);
/** All key tiles, whatever the mask says: equal tiles are taken together although it may cut one and not another. */
tw_walk tw_walk_all_keys(tw_emitter *e);
/** All query tiles, likewise. */
tw_walk tw_walk_all_queries(tw_emitter *e);
/** Query tiles that see something of the keys `cols`, ascending. */
tw_walk tw_walk_queries(tw_emitter *e, tw_tile cols);
/** Key tiles of the block's part of which the query rows `rows` see something: all of them where keys are not split. */
tw_walk tw_walk_part(tw_emitter *e, tw_tile rows);
/** Goes to the next tile; false when there is none, and after an error. */
bool tw_step(tw_walk *walk);
/** The whole axis as one tile: all query rows. */
tw_tile tw_all_queries(const tw_emitter *e);
/** All key rows. */
tw_tile tw_all_keys(const tw_emitter *e);
/** @} */

/** @name Columns
 * Tiles along head_dim, where not even a tile of Q and one of K fit whole.
 * @{ */
/** A loop over columns: for (tw_columns c = tw_walk_columns(e, TW_K); tw_next_columns(&c);) … c.tile … */
typedef struct tw_columns {
    tw_tile tile; /**< now */
    /** @cond private */
    tw_emitter *e;
    int64_t next, width;
    int block;
    /** @endcond */
} tw_columns;
/** The columns of a tensor, the tiling's block_d at a time; all at once where that is 0. Leave it only by its end. */
tw_columns tw_walk_columns(tw_emitter *e, tw_tensor tensor);
/** Goes to the next columns; false when there are none, and after an error. */
bool tw_next_columns(tw_columns *columns);
/** Some columns of an accumulator, all 0: of O, or the scores of `rows` and the keys `cols`. */
tw_slot tw_zeros_part(tw_emitter *e, tw_tensor tensor, tw_tile rows, tw_tile cols);
/** S += softmax_scale · Q Kᵀ, over the columns that both tiles have. */
void tw_matmul_nt_add(tw_emitter *e, tw_slot s, tw_slot q, tw_slot k);
/** @} */

/** All rows of a projection, as one tile. */
tw_tile tw_all_ranks(const tw_emitter *e);

/** @name Sorted rows
 * What a schedule that sorts rows has in place of tw_mask().
 * @{ */
/** −inf where the rows of two tiles of indices are of different buckets, or the mask hides the key from the row. */
void tw_mask_by_index(tw_emitter *e, tw_slot s, tw_slot q_index, tw_slot k_index);
/** @} */

/** @name Lazy softmax
 * What FlashAttention 4 does where exponentials are dear.
 * @{ */
/** tw_online_softmax() whose m, and with it alpha, moves on only where the row outgrows it by the tiling's rescale_log2;
 *  and whose exponentials are by polynomial, in the share that the tiling says. */
void tw_online_softmax_lazy(tw_emitter *e, tw_slot s, tw_row_stats st);
/** tw_rescale() behind it: work only for rows whose m has moved. */
void tw_rescale_lazy(tw_emitter *e, tw_slot o, tw_row_stats st);
/** @} */

/** @name Pipelines
 * Tiles that are worked on later than they are loaded, and agents that wait for each other.
 * @{ */
/** What follows is about a tile that an earlier step of the walk visited, and counts as often as that did. */
void tw_at_tile(tw_walk *walk, tw_tile tile);
/**
 * A turn: one agent gives it, another waits for it, so that what they do next has an order, as named barriers do it.
 * Each turn that is given is taken once. A schedule's result does not depend on turns, its time does.
 */
tw_slot tw_turn(tw_emitter *e);
/** Another agent may go on. */
void tw_give_turn(tw_emitter *e, tw_slot turn);
/** Waits until it was given. */
void tw_take_turn(tw_emitter *e, tw_slot turn);
/** @} */

/** @name Heads of a group
 * The loop of a launch per_kv_head over its query heads.
 * @{ */

/** Does any query row of the block's head, or of any head that a launch per_kv_head takes together, see these keys? */
bool tw_is_seen(tw_emitter *e, tw_tile keys);

/**
 * @brief Query heads that read the K/V head of a launch per_kv_head.
 *
 *     for (tw_group g = tw_walk_group(e, b); tw_next_head(&g);) … g.block
 *
 * A counting back end visits one of them where heads are alike. Leave a group only by its end.
 */
typedef struct tw_group {
    tw_block block; /**< with the query head */
    /** @cond private */
    tw_emitter *e;
    int first, next, end;
    int64_t outer_times;
    /** @endcond */
} tw_group;
/** The heads of the block's group. */
tw_group tw_walk_group(tw_emitter *e, tw_block b);
/** Goes to the next head; false when there is none, and after an error. */
bool tw_next_head(tw_group *group);
/** @} */

/** @name Operations
 * Schedules call them by their short names (schedule_language.h), which also record the source line.
 * @{ */
/** A tile of a tensor comes on chip, its whole width: Q, K, V into shared memory, O, M, L into registers. */
tw_slot tw_load(tw_emitter *e, tw_tensor tensor, tw_block b, tw_tile rows);
/** A part of S or P: rows `rows` of the keys `cols`. */
tw_slot tw_load_part(tw_emitter *e, tw_tensor tensor, tw_block b, tw_tile rows, tw_tile cols);
/** A slot goes to its own rows (and columns) of a tensor. */
void tw_store(tw_emitter *e, tw_tensor tensor, tw_block b, tw_slot slot);
/** An accumulator of rows × head_dim_v in registers, all 0: O. */
tw_slot tw_zeros(tw_emitter *e, tw_tile rows);
/** m = −inf, l = 0 in registers, or a sink logit, loaded, and 1; alpha is written by the first step. */
tw_row_stats tw_row_stats_init(tw_emitter *e, tw_tile rows);
/** Row state whose m and l were loaded. */
tw_row_stats tw_row_stats_of(tw_emitter *e, tw_slot m, tw_slot l);
/** S = softmax_scale · Q Kᵀ or dP = dO Vᵀ, a new fp32 slot in registers. */
tw_slot tw_matmul_nt(tw_emitter *e, tw_slot a, tw_slot b);
/** O += P V or dQ += softmax_scale · dS K. Where V is a part of K, it may be a tile of K. */
void tw_matmul_add(tw_emitter *e, tw_slot sum, tw_slot a, tw_slot b);
/** What the problem does to scores before the mask (score_mods.h), a tile of the bias loaded for it; else nothing. */
void tw_score_mod(tw_emitter *e, tw_slot s);
/** −inf where the mask hides a score; emitted only where it cuts the tile. */
void tw_mask(tw_emitter *e, tw_slot s);
/** Softmax of whole rows, unnormalised: S becomes P; m and l, as initialised, take the rows in. */
void tw_softmax(tw_emitter *e, tw_slot s, tw_row_stats st);
/** One step of online softmax: S becomes P; m, l, alpha advance. Rescale O with alpha before adding to it. */
void tw_online_softmax(tw_emitter *e, tw_slot s, tw_row_stats st);
/** The same for an O that is kept normalised (FlashAttention 1): alpha = l_old · e^(m_old − m). */
void tw_online_softmax_normalized(tw_emitter *e, tw_slot s, tw_row_stats st);
/** One step of m and l alone: a first pass over a row too long to stay on chip. */
void tw_row_stats_step(tw_emitter *e, tw_slot s, tw_row_stats st);
/** P = e^(S − m) / l, with m and l of the whole row: the second pass. */
void tw_softmax_apply(tw_emitter *e, tw_slot s, tw_row_stats st);
/** O = alpha · O. */
void tw_rescale(tw_emitter *e, tw_slot o, tw_row_stats st);
/** P is rounded to the input's type where tensor cores will read it, or becomes codes; nothing is emitted for FMA units. */
void tw_convert_for_unit(tw_emitter *e, tw_slot p);
/** P, loaded as it was stored, becomes codes where V is codes; otherwise nothing is emitted. */
void tw_convert_to_codes(tw_emitter *e, tw_slot p);
/** O = O / l. */
void tw_normalize(tw_emitter *e, tw_slot o, tw_row_stats st);
/** m becomes LSE = m + ln l. */
void tw_lse(tw_emitter *e, tw_row_stats st);
/** The slot's place is free again. */
void tw_release(tw_emitter *e, tw_slot slot);
/** The same for m, l and alpha. */
void tw_release_stats(tw_emitter *e, tw_row_stats st);
/** From here on, operations are issued by this agent. */
void tw_as_agent(tw_emitter *e, int agent);
/** The next loads are fetched once for `blocks` blocks of a cluster. */
void tw_multicast(tw_emitter *e, int blocks);
/** Would a tile of rows × cols in the input's type fit into shared memory by itself? */
bool tw_fits(const tw_emitter *e, int64_t rows, int64_t cols);
/** @} */

/** @name More operations: gradients and dropout
 * As above.
 * @{ */
/** One of another tensor, as wide as that is: dQ, dQ's sums, dK, dV, D. */
tw_slot tw_zeros_of(tw_emitter *e, tw_tensor tensor, tw_tile rows);
/** dV += Pᵀ dO or dK += softmax_scale · dSᵀ Q. */
void tw_matmul_tn_add(tw_emitter *e, tw_slot sum, tw_slot a, tw_slot b);
/** P = e^(S − LSE): what the forward pass had, made again; 0 where LSE is −inf. */
void tw_softmax_from_lse(tw_emitter *e, tw_slot s, tw_slot lse);
/** D += rowsum(dO ∘ O), or rowsum(P ∘ dP), which is the same. */
void tw_row_dot(tw_emitter *e, tw_slot d, tw_slot a, tw_slot b);
/** dP becomes dS = P ∘ (dP − D). */
void tw_dsoftmax(tw_emitter *e, tw_slot dp, tw_slot p, tw_slot d);
/** The sums of dQ become dQ, in the input's type. */
void tw_convert_sum(tw_emitter *e, tw_slot dq_sum);
/** Adds a slot to its own rows of a tensor, which other blocks add to as well. Goes out of the SM, and nothing in. */
void tw_atomic_add(tw_emitter *e, tw_tensor tensor, tw_block b, tw_slot slot);
/** P becomes P ∘ Z, or dO Vᵀ becomes dP: Z is made from its counters. Nothing is emitted without dropout. */
void tw_drop(tw_emitter *e, tw_slot p);
/** Z itself, as a new slot, for those who store it. */
tw_slot tw_drop_mask(tw_emitter *e, tw_tile rows, tw_tile cols);
/** tw_drop() by a Z that is on chip. */
void tw_drop_by(tw_emitter *e, tw_slot p, tw_slot z);
/** @} */

/** @name More operations: parts of the keys
 * As above.
 * @{ */
/** m = −inf, l = 0: row state of a part of the keys. A sink logit, if there is one, belongs to the whole. */
tw_row_stats tw_row_stats_of_part(tw_emitter *e, tw_tile rows);
/** Are the keys in several parts? */
bool tw_is_split(const tw_emitter *e);
/** A tile of O, or LSE or l, goes to the rows of the block's part in TW_O_PART or TW_LSE_PART. */
void tw_store_part(tw_emitter *e, tw_tensor tensor, tw_block b, tw_slot slot);
/**
 * Loads what parts [first, end) of the block's rows have left, and has O, m and l take it in. Against a running maximum
 * m' = max(m, LSE), l' = e^(m − m') l + e^(LSE − m'), O' likewise, and nothing where LSE is −inf; against a fixed one O
 * and l are added. Several are asked for before the first is taken in, as many as 64 KiB hold, so that they come together.
 */
void tw_take_parts(tw_emitter *e, tw_block b, int first, int end, tw_slot o, tw_row_stats st);
/** @} */

/** @name More operations: a fixed maximum
 * As above.
 * @{ */
/** m becomes the tiling's phi, and l what it then is. */
void tw_fix_max(tw_emitter *e, tw_row_stats st);
/** S becomes P = e^(S − m), l grows; m is fixed, so there is nothing to rescale. Where a score that is seen leaves the
 *  range (tw_fixed_range()), l becomes infinite. */
void tw_fixed_softmax(tw_emitter *e, tw_slot s, tw_row_stats st);
/** Have scores left the range? Then O and l are of no use, and what follows in this block is done again. */
bool tw_left_range(tw_emitter *e, tw_slot o, tw_row_stats st);
/** How far a score may be from phi: e^(s − phi) is then a normal number where it is multiplied, and sums are finite. */
void tw_fixed_range(double range[2], const tw_problem *problem, const tw_tiling *tiling);
/** @} */

/** What went wrong first; TW_OK if nothing did. */
tw_status tw_emitter_status(const tw_emitter *e);

/** @name For back ends
 * @{ */
/** What the mask leaves of a tile of scores of the block that runs; of the first tile of a run. */
tw_tile_kind tw_emitter_kind(const tw_emitter *e, tw_tile rows, tw_tile cols);
/** Rows × columns of a slot, real ones. */
int64_t tw_slot_elements(const tw_slot_info *slot);
/** Unmasked pairs of the tile(s) that a score slot stands for, per block: for all of the runs together. */
int64_t tw_slot_pairs(const tw_emitter *e, const tw_slot_info *slot);
/** @} */

#ifdef __cplusplus
}
#endif

#endif
