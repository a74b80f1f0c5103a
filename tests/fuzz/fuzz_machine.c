/* Any bytes as a machine file: read, or refused with one line; what is read has on-chip memory. */
#include "fuzz_file.h"

#include "../../sim/machine.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[32];
    int fd = fuzz_file(path, data, size);
    tw_machine machine;
    tw_status status = tw_machine_find(&machine, path);
    if (status == TW_OK ? machine.smem_bytes < 1 : strlen(tw_error_message()) == 0)
        abort();
    close(fd);
    return 0;
}
