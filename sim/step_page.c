/* stub */
#include "step_page.h"
tw_status tw_step_page_write(const char *path, const tw_trace *trace, size_t start)
{
    (void)trace, (void)start;
    return tw_fail(TW_EUNSUPPORTED, "%s: not yet", path);
}
