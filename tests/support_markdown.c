/* A reader of the Markdown that this repository writes: fences begin a line, spans have one backtick, links stand in
 * brackets and parentheses without blanks. */
#include "support_markdown.h"
#include "support_process.h"

#include <check.h>
#include <ctype.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- files ---------------------------------------------------------------------------------------------- */

static const glob_t *pages(void)
{
    static const char *const patterns[] = {"*.md", "notebooks_data/*.md", "docs/*.md", "docs/*/*.md",
                                           "docs/labs/lab?/handout.md"};
    static glob_t found;
    if (found.gl_pathc > 0)
        return &found;
    for (size_t i = 0; i < sizeof patterns / sizeof patterns[0]; i++)
        glob(patterns[i], i > 0 ? GLOB_APPEND : 0, NULL, &found);
    return &found;
}

int tw_num_pages(void)
{
    return (int)pages()->gl_pathc;
}

const char *tw_page(int i)
{
    return pages()->gl_pathv[i];
}

char *tw_read_text(const char *path)
{
    FILE *file = fopen(path, "r");
    ck_assert_msg(file != NULL, "%s is not here: run the tests from the top of the repository", path);
    ck_assert_int_eq(fseek(file, 0, SEEK_END), 0);
    long size = ftell(file);
    rewind(file);
    char *text = calloc((size_t)size + 1, 1);
    ck_assert_ptr_nonnull(text);
    ck_assert_uint_eq(fread(text, 1, (size_t)size, file), (size_t)size);
    fclose(file);
    return text;
}

/* ---- blocks --------------------------------------------------------------------------------------------- */

static const char *end_of_line(const char *line)
{
    return line + strcspn(line, "\n");
}

static bool is_fence(const char *line)
{
    return strncmp(line + strspn(line, " "), "```", 3) == 0;
}

/* The next line that is a fence, or the end of the text. */
static const char *next_fence(const char *line)
{
    while (*line != '\0' && !is_fence(line)) {
        line = end_of_line(line);
        line += *line == '\n';
    }
    return line;
}

/* *at is the beginning of a line, not within a block. */
bool tw_next_block(tw_markdown_part *block, const char **at)
{
    const char *fence = next_fence(*at);
    if (*fence == '\0')
        return false;
    const char *info = strstr(fence, "```") + 3;
    snprintf(block->info, sizeof block->info, "%.*s", (int)(end_of_line(info) - info), info);
    block->begin = end_of_line(info) + 1;
    block->end = next_fence(block->begin);
    ck_assert_msg(*block->end != '\0', "a block begins with ```%s and has no end", block->info);
    *at = end_of_line(block->end);
    *at += **at == '\n';
    return true;
}

/* ---- spans, links, headings ----------------------------------------------------------------------------- */

/* Behind the block that begins here, if one does. */
static const char *behind_block(const char *line)
{
    tw_markdown_part block;
    const char *at = line;
    return is_fence(line) && tw_next_block(&block, &at) ? at : line;
}

/* The next place of a character outside of blocks; *at need not be the beginning of a line. */
static const char *find_outside_blocks(const char *at, char wanted)
{
    while (*at != '\0' && *at != wanted)
        at = *at == '\n' ? behind_block(at + 1) : at + 1;
    return *at != '\0' ? at : NULL;
}

bool tw_next_span(tw_markdown_part *span, const char **at)
{
    const char *mark = find_outside_blocks(behind_block(*at), '`');
    if (mark == NULL)
        return false;
    span->begin = mark + 1;
    span->end = strchr(span->begin, '`');
    ck_assert_msg(span->end != NULL, "a code span has no end: %.40s", mark);
    *at = span->end + 1;
    return true;
}

bool tw_next_link(tw_markdown_part *target, const char **at)
{
    for (const char *c = behind_block(*at); *c != '\0';) {
        if (*c == '`') {
            c = strchr(c + 1, '`');
            ck_assert_ptr_nonnull(c);
        } else if (strncmp(c, "](", 2) == 0) {
            target->begin = c + 2;
            target->end = target->begin + strcspn(target->begin, ")\n ");
            *at = target->end;
            if (*target->end == ')')
                return true;
        }
        c = *c == '\n' ? behind_block(c + 1) : c + 1;
    }
    return false;
}

/* Letters, digits, _ and - stay, blanks become -, everything else goes. */
static void make_anchor(char *anchor, size_t size, const char *heading)
{
    size_t used = 0;
    for (const char *c = heading; c < end_of_line(heading) && used + 1 < size; c++)
        if (isalnum((unsigned char)*c) || strchr("_-", *c) != NULL)
            anchor[used++] = (char)tolower((unsigned char)*c);
        else if (*c == ' ')
            anchor[used++] = '-';
    anchor[used] = '\0';
}

bool tw_has_anchor(const char *text, const char *anchor)
{
    char its[200];
    for (const char *line = text; *line != '\0'; line = end_of_line(line), line += *line == '\n') {
        line = behind_block(line);
        if (*line != '#')
            continue;
        make_anchor(its, sizeof its, line + strspn(line, "# "));
        if (strcmp(its, anchor) == 0)
            return true;
    }
    return false;
}

char *tw_part_text(const tw_markdown_part *part, bool one_line)
{
    size_t length = (size_t)(part->end - part->begin);
    char *text = calloc(length + 1, 1);
    ck_assert_ptr_nonnull(text);
    memcpy(text, part->begin, length);
    for (char *c = text; one_line && *c != '\0'; c++)
        if (*c == '\n')
            *c = ' ';
    return text;
}

int tw_expect_console(const char *page)
{
    static const char prompt[] = "$ build/tilewise ";
    char *text = tw_read_text(page);
    const char *at = text;
    int count = 0;
    for (tw_markdown_part block; tw_next_block(&block, &at);) {
        char *command = tw_part_text(&block, false), *output = strchr(command, '\n');
        if (strcmp(block.info, "console test") == 0 && output &&
            strncmp(command, prompt, strlen(prompt)) == 0) {
            *output++ = '\0';
            tw_process p = tw_expect_exit(0, command + strlen(prompt));
            ck_assert_str_eq(p.out, output);
            tw_process_free(&p);
            count++;
        }
        free(command);
    }
    free(text);
    return count;
}
