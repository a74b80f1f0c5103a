/* What all Hopper rungs (40 and up) share and none of them is about. */
#ifndef TW_HOPPER_TILE_CUH
#define TW_HOPPER_TILE_CUH

#include "hopper_form.cuh"
#include "hopper_host.cuh"
#include "hopper_rows.cuh"

#endif
