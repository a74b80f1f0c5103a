/* Text between markers. */
#include "markers.h"

#include "../../sim/csv.h"

#include <stdlib.h>
#include <string.h>

static tw_status read_all(char **text, FILE *file, const char *path)
{
    size_t size = 0, room = 1 << 16, got;
    char *all = malloc(room);
    while (all != NULL && (got = fread(all + size, 1, room - size - 1, file)) > 0) {
        size += got;
        if (room - size < 2) {
            char *larger = realloc(all, room *= 2);
            if (larger == NULL)
                free(all);
            all = larger;
        }
    }
    if (all == NULL)
        return tw_fail(TW_ENOMEM, "%s: no memory for the text", path);
    all[size] = '\0';
    *text = all;
    return TW_OK;
}

tw_status tw_text_read(char **text, const char *path)
{
    FILE *file;
    TW_TRY(tw_open_to_read(&file, path, "a text"));
    tw_status status = read_all(text, file, path);
    fclose(file);
    return status;
}

tw_status tw_text_write(const char *path, const char *text)
{
    tw_csv out = {.file = NULL};
    TW_TRY(tw_csv_open(&out, path));
    fputs(text, out.file);
    tw_status status = tw_csv_commit(&out);
    tw_csv_discard(&out);
    return status;
}

/* The text with `content` in place of [from, to). */
static tw_status splice(char **text, const char *from, const char *to, const char *content)
{
    size_t head = (size_t)(from - *text), middle = strlen(content), tail = strlen(to);
    char *spliced = malloc(head + middle + tail + 1);
    if (spliced == NULL)
        return tw_fail(TW_ENOMEM, "no memory for a text of %zu bytes", head + middle + tail);
    memcpy(spliced, *text, head);
    memcpy(spliced + head, content, middle);
    memcpy(spliced + head + middle, to, tail + 1);
    free(*text);
    *text = spliced;
    return TW_OK;
}

tw_status tw_markers_fill(char **text, const char *name, const char *content)
{
    char begin[100], end[100];
    size_t at = 0;
    int filled = 0;
    snprintf(begin, sizeof begin, "<!-- %s: begin -->", name);
    snprintf(end, sizeof end, "<!-- %s: end -->", name);
    for (char *from; (from = strstr(*text + at, begin)) != NULL; filled++) {
        from += strlen(begin);
        char *to = strstr(from, end);
        if (to == NULL)
            return tw_fail(TW_EFORMAT, "there is '%s' without '%s' behind it", begin, end);
        at = (size_t)(from - *text) + strlen(content);
        TW_TRY(splice(text, from, to, content));
    }
    return filled > 0 ? TW_OK : tw_fail(TW_EFORMAT, "there is no '%s'", begin);
}
