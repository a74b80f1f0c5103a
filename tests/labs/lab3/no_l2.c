/* The lab's machine has one SRAM and nothing behind it; so the handout's library needs no machine files. */
#include "../../../sim/machine.h"

bool tw_machine_has_l2(const tw_machine *machine)
{
    return machine->kind != TW_MACHINE_PAPER && machine->l2_bytes > 0;
}
