/* Any bytes as a CSV file of measurements: read, or refused with one line; what is read can be counted. */
#include "fuzz_file.h"

#include "../../sim/measured.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[32];
    int fd = fuzz_file(path, data, size);
    tw_measured_list list = {.rows = NULL};
    tw_status status = tw_measured_read(&list, path);
    if (status == TW_OK ? list.count < 1 : strlen(tw_error_message()) == 0)
        abort();
    for (size_t i = 0; status == TW_OK && i < list.count; i++)
        if (tw_problem_check(&list.rows[i].c.problem) != TW_OK)
            abort();
    tw_measured_free(&list);
    close(fd);
    return 0;
}
