/**
 * @file l2.h
 * @brief The last cache before HBM, as measured on GPUs whose L2 has two sides. It knows nothing of attention.
 *
 * @verbatim
 *      SMs of side 0                SMs of side 1
 *           │ read, write                │
 *     ┌─────▼──────┐  fabric     ┌───────▼────┐
 *     │  side 0    │◀───────────▶│  side 1    │     each: side_bytes, nearly LRU
 *     └─────┬──────┘             └───────┬────┘
 *           │ units whose home is 0      │ units whose home is 1
 *     ══════▼════════════ HBM ═══════════▼══════
 * @endverbatim
 *
 * Every unit of memory has one home side, and only that side reads it from HBM or writes it back. An SM asks its own
 * side. A unit from the other side crosses the fabric and is kept in both: what all SMs read has room in one side's
 * bytes only, what one side reads of its own in all of them.
 *
 * A write takes a place at home, as dirty, and one on the writer's side; nothing is read for it. A side makes room by
 * dropping the unit that was used longest ago among `victims` drawn at random. A dirty unit that is dropped is written
 * to HBM; so is the one that has been dirty longest where more than dirty_bytes are.
 *
 * What an access costs does not grow with the cache or the number of units.
 */
#ifndef TW_L2_H
#define TW_L2_H

#include "../cpu_ref/status.h"
#include "machine.h"

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** How the cache is built. Bytes are of one side. */
typedef struct tw_l2_shape {
    int sides;           /**< 1 or 2 */
    int64_t side_bytes;  /**< what one holds */
    int64_t dirty_bytes; /**< 0: as much as fits */
    int victims;         /**< 0: the unit used longest ago of all, exact LRU */
} tw_l2_shape;

/** What happened so far, in bytes. Requests are what SMs asked for; a request is served by the cache or reads HBM. */
typedef struct tw_l2_traffic {
    int64_t read_request_bytes;  /**< asked for */
    int64_t write_request_bytes; /**< sent */
    int64_t hbm_read_bytes;      /**< read from HBM */
    int64_t hbm_write_bytes;     /**< written back to it */
    int64_t fabric_bytes;        /**< between the sides, each crossing once */
    int64_t near_hit_bytes;      /**< of the read requests: found on the SM's side */
    int64_t far_hit_bytes;       /**< of the read requests: found at home only */
} tw_l2_traffic;

/** Where an access found its unit. A write is always near. */
typedef enum tw_l2_found {
    TW_L2_NEAR, /**< on the SM's side */
    TW_L2_FAR,  /**< on the other, its home */
    TW_L2_HBM   /**< nowhere: it was read from HBM */
} tw_l2_found;

/** A cache, and what happened in it. */
typedef struct tw_l2 tw_l2;

/**
 * @brief An empty cache for units 0 … num_units − 1. Unit u has its home on side u mod sides.
 * @param[out] l2          to be freed with tw_l2_free(); untouched on error
 * @param[in]  shape       how it is built
 * @param[in]  num_units   in all
 * @param[in]  unit_bytes  size of each unit, copied
 * @param[in]  seed        of the victims
 * @return TW_OK; TW_EINVAL (sides other than 1 or 2, side_bytes < 1, a unit of no bytes or larger than a side); TW_ENOMEM
 */
TW_MUST_CHECK tw_status tw_l2_create(tw_l2 **l2, const tw_l2_shape *shape, int32_t num_units,
                                     const uint32_t *unit_bytes, uint64_t seed);
/** Frees it; NULL is fine. */
void tw_l2_free(tw_l2 *l2);

/** An SM of `side` reads a unit. */
tw_l2_found tw_l2_read(tw_l2 *l2, int side, int32_t unit);

/** An SM of `side` writes a whole unit. */
void tw_l2_write(tw_l2 *l2, int side, int32_t unit);

/** Empties the cache; what is dirty goes to HBM uncounted. Traffic stays as it is. */
void tw_l2_flush(tw_l2 *l2);

/** What happened since the cache was made. */
const tw_l2_traffic *tw_l2_traffic_of(const tw_l2 *l2);

/** Bytes that are dirty now. */
int64_t tw_l2_dirty_bytes(const tw_l2 *l2);
/** Bytes that are in the cache now, copies included. */
int64_t tw_l2_resident_bytes(const tw_l2 *l2);

/**
 * @brief The L2 of a machine. One that does not describe its L2 gets one side of l2_bytes with exact LRU.
 * @param[out] calibrated  every number of the L2 was measured on this very machine (its source says so)
 * @param[in]  machine     which has an L2, by tw_machine_has_l2()
 */
tw_l2_shape tw_l2_shape_of(bool *calibrated, const tw_machine *machine);

#ifdef __cplusplus
}
#endif

#endif
