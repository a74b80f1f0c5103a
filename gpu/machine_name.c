/* From a device's name to the machine file that describes it. No CUDA in here. */
#include "device.h"

#include <ctype.h>
#include <string.h>

void tw_gpu_machine_name(char *machine, size_t size, const char *device_name)
{
    /* The first line that fits wins: "H100 PCIe" stands before "H100", "H200" before "H20". */
    static const struct {
        const char *in_name, *also, *machine;
    } known[] = {
        {"H100", "PCIe", "h100-pcie"}, {"H100", "", "h100"}, {"H200", "", "h200"},  {"H20", "", "h20"},
        {"A100", "", "a100"},          {"B200", "", "b200"}, {"Tesla T4", "", "t4"}};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strstr(device_name, known[i].in_name) != NULL && strstr(device_name, known[i].also) != NULL) {
            snprintf(machine, size, "%s", known[i].machine);
            return;
        }
    size_t n = 0;
    for (const char *c = device_name; *c != '\0' && n + 1 < size; c++)
        machine[n++] = (char)(isalnum((unsigned char)*c) ? tolower((unsigned char)*c) : '-');
    machine[n] = '\0';
}
