/* The pages of the manual as tests see them: code blocks, code spans, headings and links of a Markdown file. */
#ifndef TW_SUPPORT_MARKDOWN_H
#define TW_SUPPORT_MARKDOWN_H

#include <stdbool.h>

/* Every page: README.md, CONTRIBUTING.md, CHANGELOG.md, the data dictionary, and what is below docs/ but for lab 3's
 * tasks, which are parts of a page. */
int tw_num_pages(void);

/* The i-th page's path from the top of the repository. */
const char *tw_page(int i);

/* A whole file as one string; the test fails if it cannot be read. free() it. */
char *tw_read_text(const char *path);

/* A part of a page; where it begins and ends in the text. */
typedef struct tw_markdown_part {
    const char *begin, *end;
    char info[80]; /* of a block: the words behind its fence, "console test" */
} tw_markdown_part;

/* The next fenced block behind *at, without its fences; *at moves behind it. */
bool tw_next_block(tw_markdown_part *block, const char **at);

/* The next `code span` outside of blocks, without its marks; *at moves behind it. */
bool tw_next_span(tw_markdown_part *span, const char **at);

/* The next target of a [text](target) outside of blocks and spans; *at moves behind it. */
bool tw_next_link(tw_markdown_part *target, const char **at);

/* Does the page have a heading that a forge gives this anchor? */
bool tw_has_anchor(const char *text, const char *anchor);

/* Runs every `console test` block of a page that calls the program, which must print what the block shows and nothing
 * else; the number of such blocks. */
int tw_expect_console(const char *page);

/* A part as a string of its own, with newlines as blanks if it is a span; free() it. */
char *tw_part_text(const tw_markdown_part *part, bool one_line);

#endif
