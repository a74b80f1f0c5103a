#!/usr/bin/env bash
# Writes lab 3's tile_language.h: docs/labs/tile_language.sh HEADER… Called by the build. A schedule needs the types of
# cpu_ref/ and sim/tiling.h, of sim/tile_ops.h the part that is for schedules, and the short names; declarations are
# told apart by the empty lines between them.
set -euo pipefail

cat <<'END'
/*
 * The tile language, as far as this lab needs it.
 *
 * Where to start: what you write are the short names at the end; what each does is said at its long name, tw_…, under
 * "Operations", and how loops are written, under "Walks". Of the problem you need p->seqlen_q, p->seqlen_k and
 * p->causal, of the tiling t->block_m and t->block_n, of a block b.i, of a tile row0 and rows.
 *
 * This lab's machine has one memory on chip, the SRAM: where a comment says registers or shared memory, the SRAM is
 * meant. Tiles of Q, K, V and O are charged there, at 2 bytes an element; S, P, m, l and alpha are not. Every tile is
 * visited by itself: `run` is 1.
 */
#ifndef TW_TILE_OPS_H /* the simulator's own header has the same, and more */
#define TW_TILE_OPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

END

for header in "$@"; do
    case $header in
    */tile_ops.h)
        wanted='typedef enum tw_tensor |typedef struct (tw_tile|tw_block|tw_emitter|tw_slot|tw_row_stats|tw_walk) '
        wanted+='|@name Walks|(^|\n)/\*\* Key tiles of which|@name Operations'
        ;;
    */schedule_language.h) wanted='(^|\n)#define load\(' ;;
    *) wanted='(^|\n)typedef ' ;;
    esac
    awk -v RS= -v wanted="$wanted" '$0 ~ wanted { print $0 "\n" }' "$header"
done |
    sed -E 's/ \(schedule_language\.h\)/, at the end/; s/\/\*\* @cond private/\/* private/; /@(end)?cond/d' |
    sed -E '/tw_(walk_keys_of|load_part|score_mod|convert_for_unit|convert_to_codes|as_agent|multicast|fits)\(/d' |
    sed -E '/^\/\*\* (A part of S or P|Of those the partial|What the problem does to scores|P is rounded|P, loaded as|From here on|The next loads|Would a tile)/d'

cat <<'END'
#endif

/* Notes the line of your source, so that messages can name it. */
tw_emitter *tw_at(tw_emitter *e, int line);
END
