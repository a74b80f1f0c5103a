/* Writes docs/ledger.md anew.
 *
 *     ledger PAGE.md OUT.md ROWS.ini…     OUT.md may be PAGE.md; it is there completely or as it was
 */
#include "../tables/markers.h"
#include "ledger_table.h"

#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
    char *page = NULL;
    tw_status status = argc >= 4 ? tw_text_read(&page, argv[1])
                                 : tw_fail(TW_EINVAL, "usage: ledger PAGE.md OUT.md ROWS.ini…");
    if (status == TW_OK)
        status = tw_ledger_fill(&page, argc - 3, argv + 3);
    if (status == TW_OK)
        status = tw_text_write(argv[2], page);
    free(page);
    if (status == TW_OK)
        return 0;
    fprintf(stderr, "ledger: %s\n", tw_error_message());
    return 2;
}
