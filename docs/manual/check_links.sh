#!/usr/bin/env bash
# Every link of a folder of HTML pages that does not leave it must lead somewhere: to a file that is there and, behind
# a #, to something of that name in it. Nothing may be fetched from the network.
#
#     docs/manual/check_links.sh FOLDER
#
# Prints the links that do not hold, a line each. Exit status: 0 all hold, 1 some do not, 2 no page there.
set -euo pipefail
cd "$1"
shopt -s nullglob
pages=(*.html)
[ ${#pages[@]} -gt 0 ] || {
    echo "check_links: $1 holds no HTML pages" >&2
    exit 2
}

# Where a page, or Doxygen's menu and tree, points to: "page<TAB>attribute<TAB>target".
links() {
    grep -oE '(href|src|data)="[^"]*"' "${pages[@]}" /dev/null | sed -E 's/^([^:]*):([a-z]+)="(.*)"$/\1\t\2\t\3/'
    for script in menudata.js navtreedata.js; do
        [ ! -s $script ] || grep -oE '"[A-Za-z0-9_./-]+\.html(#[A-Za-z0-9_-]*)?"' $script | sed -E "s/^\"(.*)\"$/$script\thref\t\1/"
    done
}

names() { grep -oE '(id|name)="[^"]+"' "${pages[@]}" /dev/null | sed -E 's/^([^:]*):[a-z]+="(.*)"$/\1#\2/'; }

links | sort -u | awk -F'\t' '
    FILENAME != "-" { is_there[$0] = 1; next }
    $3 ~ /^(mailto:|javascript:|data:)/ { next }
    $3 ~ /^(https?:)?\/\// { if ($2 != "href") dead($1, $3, "is fetched from the network"); next }
    {
        file = anchor = $3
        sub(/#.*/, "", file)
        if (!sub(/^[^#]*#/, "", anchor)) anchor = ""
        if (file == "") file = $1
        if (!(file in is_there)) dead($1, $3, "there is no such file")
        else if (anchor != "" && file ~ /html$/ && !((file "#" anchor) in is_there)) dead($1, $3, "nothing has that name")
    }
    function dead(page, target, why) { print "check_links: " page ": " target ": " why; found++ }
    END { exit found > 0 }
' <(find . -type f | cut -c3-; names) -
