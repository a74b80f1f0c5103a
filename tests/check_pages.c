/* The manual's pages as pages: links that lead somewhere, a place in the menu, the filter that hands them to Doxygen, and
 * the check of what Doxygen makes of them. */
#include "check_tilewise.h"
#include "support_markdown.h"
#include "support_process.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static tw_process shell(const char *line)
{
    char sh[] = "sh", c[] = "-c", command[2000], *words[] = {sh, c, command, NULL};
    snprintf(command, sizeof command, "%s", line);
    return tw_run(words);
}

/* ---- links of Markdown files ---------------------------------------------------------------------------- */

/* The file that a link from a page means; the page itself if it names none. */
static void path_of(char *path, size_t size, const char *page, const char *target)
{
    const char *slash = strrchr(page, '/');
    if (*target == '\0')
        snprintf(path, size, "%s", page);
    else
        snprintf(path, size, "%.*s%s", slash ? (int)(slash - page + 1) : 0, page, target);
}

static void check_link(const char *page, char *target)
{
    char path[600], *anchor = strchr(target, '#');
    struct stat is;
    if (strncmp(target, "http", 4) == 0)
        return;
    if (anchor != NULL)
        *anchor++ = '\0';
    path_of(path, sizeof path, page, target);
    ck_assert_msg(stat(path, &is) == 0, "%s links to %s, which is not there", page, target);
    if (anchor == NULL)
        return;
    char *text = tw_read_text(path);
    ck_assert_msg(tw_has_anchor(text, anchor), "%s links to a heading '%s', which %s does not have", page,
                  anchor, path);
    free(text);
}

START_TEST(test_links)
{
    const char *page = tw_page(_i);
    char *text = tw_read_text(page);
    const char *at = text;
    for (tw_markdown_part part; tw_next_link(&part, &at);) {
        char *target = tw_part_text(&part, false);
        check_link(page, target);
        free(target);
    }
    free(text);
}
END_TEST

/* ---- the menu ------------------------------------------------------------------------------------------- */

/* What docs/manual/page.awk calls a page: docs/theory/counts.md is theory_counts. */
static void label_of(char *label, const char *page)
{
    const char *from = strncmp(page, "docs/", 5) == 0 ? page + 5 : page;
    const char *end = strstr(from, "/README.md") ? strstr(from, "/README.md") : strstr(from, ".md");
    for (; from < end; from++)
        *label++ = (char)(*from == '/' ? '_' : *from >= 'A' && *from <= 'Z' ? *from - 'A' + 'a' : *from);
    *label = '\0';
}

START_TEST(test_menu_has_every_page)
{
    char label[200], entry[240], *layout = tw_read_text("docs/manual/layout.xml");
    const char *page = tw_page(_i);
    label_of(label, page);
    snprintf(entry, sizeof entry, "\"@ref %s\"", label);
    ck_assert_msg(strcmp(page, "docs/index.md") == 0 || strstr(layout, entry) != NULL,
                  "docs/manual/layout.xml has no entry for %s, url=%s", page, entry);
    free(layout);
}
END_TEST

/* ---- the filter ----------------------------------------------------------------------------------------- */

static const struct {
    const char *page, *text, *becomes;
} translations[] = {
    {"docs/theory/counts.md", "# Counts\n## Two `flash2`, again\n",
     "# Counts {#theory_counts}\n## Two flash2, again {#theory_counts_two_flash2_again}\n"},
    {"docs/theory/counts.md", "[a](ledgers.md) [b](../../README.md#one-command) [c](#flops)\n",
     "[a](@ref theory_ledgers) [b](@ref readme_one_command) [c](@ref theory_counts_flops)\n"},
    {"docs/theory/counts.md", "[a](../../sim/bounds.h) [b](../../LICENSE) [c](https://x.y/z)\n",
     "[a](@ref sim/bounds.h) b [c](https://x.y/z)\n"},
    {"README.md", "![a](docs/traffic.svg) <!-- picture: x.svg y -->\n<!-- picture: x.svg A title -->\n",
     "![a](traffic.svg) <!-- picture: x.svg y -->\n![A title](x.svg)\n"},
    {"README.md", "so $a_1 = b$, and `$PATH` or $5 and $6 stay\n",
     "so \\f$a_1 = b\\f$, and `$PATH` or $5 and $6 stay\n"},
    {"README.md", "```math\na = b\n```\n", "\\f[\na = b\n\\f]\n"},
    {"README.md", "```console test\n$ [a](LICENSE) $b$ @C@\n```\n",
     "```{.unparsed}\n$ [a](LICENSE) $b$ @C@\n```\n"},
    {"README.md", "```c sim/a.c\nint a;\n```\n", "```{.c}\nint a;\n```\n"},
    {"README.md", "- **`a`**: b, **c**\n", "- `a`: b, **c**\n"},
    {"README.md", "N = @SEQLEN@\n", "N = @SEQLEN@\n"},
};
enum { NUM_TRANSLATIONS = sizeof translations / sizeof translations[0] };

/* Writes a page below a folder of its own and returns what the filter makes of it. */
static tw_process filtered(const char *page, const char *text)
{
    char line[1500], path[700];
    const char *top = tw_new_folder();
    snprintf(line, sizeof line, "mkdir -p '%s/docs/theory' '%s/docs/labs/lab1'", top, top);
    tw_process made = shell(line);
    ck_assert_int_eq(made.exit_code, 0);
    tw_process_free(&made);
    snprintf(path, sizeof path, "%s/%s", top, page);
    tw_write_text(path, text);
    snprintf(line, sizeof line,
             "TW_DOCS_TOP='%s' TW_DOCS_PAGES='README.md docs/theory/counts.md docs/theory/ledgers.md' "
             "TW_DOCS_SOURCES='sim/bounds.h' awk -f docs/manual/page.awk '%s'; rm -rf '%s'",
             top, path, top);
    return shell(line);
}

START_TEST(test_filter)
{
    tw_process p = filtered(translations[_i].page, translations[_i].text);
    ck_assert_str_eq(p.err, "");
    ck_assert_str_eq(p.out, translations[_i].becomes);
    tw_process_free(&p);
}
END_TEST

START_TEST(test_filter_of_a_handout)
{
    tw_process p = filtered("docs/labs/lab1/handout.md",
                            "# Lab\n\nN = @SEQLEN@\n\n```console\n$ a --seqlen @SEQLEN@\n```\n");
    ck_assert_str_eq(p.err, "");
    ck_assert_ptr_nonnull(strstr(p.out, "# Lab {#labs_lab1_handout}\n"));
    ck_assert_ptr_nonnull(strstr(p.out, "as it is kept"));
    ck_assert_ptr_nonnull(strstr(p.out, "\nN = SEQLEN\n"));
    ck_assert_ptr_nonnull(strstr(p.out, "\n$ a --seqlen SEQLEN\n"));
    tw_process_free(&p);
}
END_TEST

/* ---- the check of what was built ------------------------------------------------------------------------ */

static const struct {
    const char *body, *says; /* of a.html; says NULL: all is well */
} pages[] = {
    {"<a href=\"b.html\">b</a> <a href=\"b.html#there\">b</a> <p id=\"here\"><a href=\"#here\">a</a>", NULL},
    {"<a href=\"https://example.org/\">far away</a>", NULL},
    {"<img src=\"b.html\"/>", NULL},
    {"<a href=\"c.html\">c</a>", "check_links: a.html: c.html: there is no such file\n"},
    {"<a href=\"b.html#nowhere\">b</a>", "check_links: a.html: b.html#nowhere: nothing has that name\n"},
    {"<a href=\"#nowhere\">b</a>", "check_links: a.html: #nowhere: nothing has that name\n"},
    {"<img src=\"c.svg\"/>", "check_links: a.html: c.svg: there is no such file\n"},
    {"<script src=\"https://example.org/x.js\"></script>",
     "check_links: a.html: https://example.org/x.js: is fetched from the network\n"},
};
enum { NUM_PAGES = sizeof pages / sizeof pages[0] };

START_TEST(test_check_of_links)
{
    char line[700], path[700];
    const char *folder = tw_new_folder();
    snprintf(path, sizeof path, "%s/a.html", folder);
    tw_write_text(path, pages[_i].body);
    snprintf(path, sizeof path, "%s/b.html", folder);
    tw_write_text(path, "<p id=\"there\">");
    snprintf(line, sizeof line, "docs/manual/check_links.sh '%s'", folder);
    tw_process p = shell(line);
    ck_assert_str_eq(p.out, pages[_i].says ? pages[_i].says : "");
    ck_assert_int_eq(p.exit_code, pages[_i].says ? 1 : 0);
    tw_process_free(&p);
    tw_remove_folder(folder);
}
END_TEST

START_TEST(test_check_of_links_wants_pages)
{
    char line[700];
    const char *folder = tw_new_folder();
    snprintf(line, sizeof line, "docs/manual/check_links.sh '%s'", folder);
    tw_process p = shell(line);
    ck_assert_int_eq(p.exit_code, 2);
    tw_process_free(&p);
    tw_remove_folder(folder);
}
END_TEST

Suite *tw_suite_pages(void)
{
    Suite *suite = suite_create("pages");
    TCase *core = tcase_create("core");
    tcase_set_timeout(core, 60);
    tcase_add_loop_test(core, test_links, 0, tw_num_pages());
    tcase_add_loop_test(core, test_menu_has_every_page, 0, tw_num_pages());
    tcase_add_loop_test(core, test_filter, 0, NUM_TRANSLATIONS);
    tcase_add_test(core, test_filter_of_a_handout);
    tcase_add_loop_test(core, test_check_of_links, 0, NUM_PAGES);
    tcase_add_test(core, test_check_of_links_wants_pages);
    suite_add_tcase(suite, core);
    return suite;
}
