/* The commit that this was built from, for the header of every file it writes. */
#include "version.h"

#include "commit.h"

const char *tw_commit(void)
{
    return TW_COMMIT;
}
