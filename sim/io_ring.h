/* What `tilewise io` says of attention that is spread over memories. */
#ifndef TW_IO_RING_H
#define TW_IO_RING_H

#include "io_table.h"

/* Link traffic, work a step, what waits, and from how many rows on nothing does; nothing where no case is spread.
 * Returns TW_OK; TW_ENOMEM; as tw_ring_time_of(). */
TW_MUST_CHECK tw_status tw_io_ring_print(FILE *out, const tw_counted *cases, size_t count,
                                         const tw_machine *machine);

#endif
