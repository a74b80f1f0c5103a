/* Any bytes as a .npy file: read, or refused with one line; never a crash, a leak or a wild allocation. */
#include "fuzz_file.h"

#include "../../cpu_ref/npy.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[32];
    int fd = fuzz_file(path, data, size);
    tw_tensor_data tensor = {.num_dims = 0};
    if (tw_npy_read(&tensor, path) != TW_OK &&
        (strlen(tw_error_message()) == 0 || strchr(tw_error_message(), '\n')))
        abort();
    tw_tensor_data_free(&tensor);
    tw_integer_data integers = {.values = NULL};
    if (tw_npy_read_integers(&integers, path) != TW_OK &&
        (strlen(tw_error_message()) == 0 || strchr(tw_error_message(), '\n')))
        abort();
    free(integers.values);
    close(fd);
    return 0;
}
