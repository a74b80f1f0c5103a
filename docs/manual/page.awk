# Turns a Markdown page of this repository, as a forge shows it, into one as Doxygen wants it. Doxygen calls it for
# every page (FILTER_PATTERNS); what it needs to know it finds in the environment:
#
#   TW_DOCS_TOP       the top of the repository
#   TW_DOCS_PAGES     every page of the manual, paths from the top
#   TW_DOCS_SOURCES   every source file of the manual, likewise
#   TW_DOCS_INCLUDES  folder of what was generated for <!-- include: FILE -->
#
#   headings       get a label made of the page's path and their words, so that links to them hold
#   [text](path)   becomes a reference to that page, heading or source file; what is not in the manual stays text
#   $math$         becomes a formula, and so does a block marked ```math
#   <!-- picture: FILE TITLE -->   becomes a picture of the report
#   ```console …   loses what only tests read
#   @SEQLEN@       in a lab's handout becomes SEQLEN, and @@TASK@@ every task that there is

BEGIN {
    top = ENVIRON["TW_DOCS_TOP"] "/"
    includes = ENVIRON["TW_DOCS_INCLUDES"] "/"
    remember(ENVIRON["TW_DOCS_PAGES"], is_page)
    remember(ENVIRON["TW_DOCS_SOURCES"], is_source)
}

FNR == 1 {
    page = index(FILENAME, top) == 1 ? substr(FILENAME, length(top) + 1) : FILENAME
    folder = page
    sub(/[^\/]*$/, "", folder)
    is_handout = page ~ /handout\.md$/
}

{ translate($0) }

function remember(list, set,    words, n, i) {
    n = split(list, words, " ")
    for (i = 1; i <= n; i++)
        set[words[i]] = 1
}

function translate(text) {
    if (in_math)
        formula_line(text)
    else if (match(text, /^ *```/))
        fence(substr(text, 1, RLENGTH), substr(text, RLENGTH + 1))
    else if (in_code || is_indented_code(text))
        print placeholders(text)
    else if (match(text, /^<!-- include: [^ ]+ -->$/))
        include(includes substr(text, 15, length(text) - 18))
    else if (match(text, /^<!-- picture: [^ ]+ .* -->$/))
        picture(substr(text, 15, length(text) - 18))
    else if (text == "@@TASK@@")
        include_tasks(top folder)
    else if (text ~ /^#+ /)
        heading(text)
    else
        print prose(text)
    was_blank = text ~ /^ *$/ || (text ~ /^    / && was_blank)
}

# Behind a blank line, and not within a list.
function is_indented_code(text) {
    if (text ~ /^[^ ]/)
        in_list = text ~ /^([-*]|[0-9]+\.) / || (in_list && !was_blank)
    return text ~ /^    / && was_blank && !in_list
}

# --- code and formulas -------------------------------------------------------------------------------------------

function fence(mark, language) {
    if (!in_code && language ~ /^math/) {
        in_math = 1
        print "\\f["
        return
    }
    in_code = !in_code
    print mark (in_code ? shown_as(language) : "")
}

# Doxygen takes what it does not know for C++, and colours it.
function shown_as(language) {
    return language ~ /^c( |$)/ ? "{.c}" : language ~ /^python( |$)/ ? "{.py}" : "{.unparsed}"
}

function formula_line(text) {
    in_math = text !~ /^ *```/
    print in_math ? text : "\\f]"
}

function formulas(text,    result) {
    while (match(text, /\$[^$ ]([^$]*[^$ ])?\$/)) {
        result = result substr(text, 1, RSTART - 1) "\\f$" substr(text, RSTART + 1, RLENGTH - 2) "\\f$"
        text = substr(text, RSTART + RLENGTH)
    }
    return result text
}

# --- prose -------------------------------------------------------------------------------------------------------

# Formulas are looked for between code spans only.
function prose(text,    parts, n, i, result) {
    n = split(placeholders(links(plain_code(text))), parts, "`")
    for (i = 1; i <= n; i++)
        result = result (i > 1 ? "`" : "") (i % 2 ? formulas(parts[i]) : parts[i])
    return result
}

# **`code`** is `code`: Doxygen does not know it bold.
function plain_code(text,    result) {
    while (match(text, /\*\*`[^`]+`\*\*/)) {
        result = result substr(text, 1, RSTART - 1) substr(text, RSTART + 2, RLENGTH - 4)
        text = substr(text, RSTART + RLENGTH)
    }
    return result text
}

function heading(text,    words) {
    gsub(/`/, "", text) # Doxygen would show its own marks
    words = text
    sub(/^#+ /, "", words)
    print prose(text) (has_title ? " {#" label(page) "_" slug(words) "}" : page == "docs/index.md" ? "" : " {#" label(page) "}")
    if (!has_title && is_handout)
        print "\n*This is the handout as it is kept. Words in capitals, such as SEED, stand for what `make handout` " \
            "fills in; it depends on the student's seed.*"
    has_title = 1
}

function placeholders(text) {
    while (is_handout && match(text, /@[A-Z0-9_]+@/))
        text = substr(text, 1, RSTART - 1) substr(text, RSTART + 1, RLENGTH - 2) substr(text, RSTART + RLENGTH)
    return text
}

# --- links -------------------------------------------------------------------------------------------------------

# docs/theory/counts.md is theory_counts, README.md is readme, notebooks_data/README.md is notebooks_data.
function label(path) {
    sub(/^docs\//, "", path)
    sub(/\/README\.md$/, "", path)
    sub(/\.md$/, "", path)
    gsub(/[^A-Za-z0-9]+/, "_", path)
    return tolower(path)
}

# As forges make anchors, but with _ for -.
function slug(words) {
    words = tolower(words)
    gsub(/[^a-z0-9 _-]/, "", words)
    gsub(/[ -]/, "_", words)
    return words
}

# Every [text](target), text and target on one line.
function links(text,    result, target) {
    while (match(text, /\[[^][]+\]\([^() ]+\)/)) {
        result = result substr(text, 1, RSTART - 1)
        result = result link(substr(text, RSTART, RLENGTH), substr(text, RSTART - 1, 1) == "!")
        text = substr(text, RSTART + RLENGTH)
    }
    return result text
}

function link(whole, is_picture,    words, target, anchor, path) {
    words = target = whole
    sub(/\]\([^() ]+\)$/, "", words)
    sub(/^.*\]\(/, "", target)
    sub(/\)$/, "", target)
    words = substr(words, 2)
    if (target ~ /^https?:/)
        return whole
    if (is_picture) # Doxygen finds it by its name
        return "[" words "](" file_name(target) ")"
    anchor = index(target, "#") ? slug(substr(target, index(target, "#") + 1)) : ""
    sub(/#.*/, "", target)
    path = target == "" ? page : plain_path(folder target)
    if (path in is_page)
        return "[" words "](@ref " label(path) (anchor == "" ? "" : "_" anchor) ")"
    return path in is_source ? "[" words "](@ref " path ")" : words
}

function file_name(path) {
    sub(/^.*\//, "", path)
    return path
}

# Without "name/../".
function plain_path(path) {
    while (sub(/[^\/.]+\/\.\.\//, "", path))
        ;
    return path
}

# --- other files -------------------------------------------------------------------------------------------------

# "traffic.svg Bytes": what `make plots` draws is not in the repository, so a forge cannot show it.
function picture(text) {
    print "![" substr(text, index(text, " ") + 1) "](" substr(text, 1, index(text, " ") - 1) ")"
}

function include(path,    text, result) {
    while ((result = (getline text < path)) > 0)
        translate(text)
    if (result < 0) {
        print "page.awk: " page " wants " path ", which cannot be read" > "/dev/stderr"
        exit 1
    }
    close(path)
}

# The tasks of lab 3: the handout holds the one that the seed chooses.
function include_tasks(from,    command, path) {
    command = "ls '" from "'task_*.md"
    while ((command | getline path) > 0) {
        include(path)
        print ""
    }
    close(command)
}
