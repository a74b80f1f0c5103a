/* Broken rules of the tile language, and what is mostly behind them. */
#include "replay.h"

#include <string.h>

enum { ANY = -2 };

/* The first row whose operation and words both fit is what is said. */
static const struct advice {
    int64_t op;
    const char *message, *says;
} list[] = {
    {ANY, "nobody has read it (alpha)",
     " Is the rescale missing? Every step of online softmax leaves an alpha behind, by which O must be "
     "scaled before "
     "anything is added to it: at the first tile, too."},
    {LAB3_OP_RELEASE, "nobody has read it", " What was loaded or computed here is never used."},
    {LAB3_OP_STORE, "normalised", " Is the normalize missing?"},
    {LAB3_OP_STORE, "it is M, needed is LSE", " Is lse(e, st) missing, which turns m into LSE?"},
    {LAB3_OP_RESCALE, "before it is written",
     " Only a step of online_softmax leaves an alpha to rescale by; softmax takes a row that is on chip as a "
     "whole."},
    {LAB3_OP_MASK, "it is P, needed is S",
     " This tile has been through the softmax: the mask comes before it."},
    {LAB3_OP_MATMUL_ADD, "it is S, needed is P", " Is the step of online softmax missing?"},
    {LAB3_OP_MATMUL_ADD, "sides belong together",
     " Do O and P have the same query rows, and P and V the same keys? One of them was loaded for another "
     "tile."},
    {ANY, "never made",
     " Where no tile is visited, nothing that is made in the walk is ever made; and what was not made cannot "
     "be "
     "used."},
    {ANY, "a walk is left", " A walk ends when tw_step() says so: no break and no return out of it."},
    {ANY, "not released", " Every slot that a block makes is released by the block."},
    {ANY, "more slots are live", " Every slot that is made in a loop is released in it."},
};

const char *lab3_advice(int64_t op, const char *message)
{
    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++)
        if ((list[i].op == ANY || list[i].op == op) && strstr(message, list[i].message))
            return list[i].says;
    return "";
}
