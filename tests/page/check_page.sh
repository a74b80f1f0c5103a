#!/usr/bin/env bash
# The page of `tilewise step --html`, in a browser without a window: walked through by keyboard to the end and back,
# its numbers compared with `tilewise step --plain`, nothing to complain about. At desktop and at phone width.
#
# From the environment: TW_BUILD, where tilewise was built. Exit status: 0 fine, 1 not, 77 there is no Chromium.
set -u
tilewise=${TW_BUILD:-build}/tilewise
here=$(dirname "$0")
browser=""
for name in chromium chromium-browser google-chrome; do
    command -v "$name" >/dev/null && browser=$name && break
done
if [ -z "$browser" ]; then
    echo "skipped: the page of tilewise step --html in a browser, because chromium is not here"
    exit 77
fi

# In the build folder: a browser from a snap sees no other user's /tmp.
scratch=$(mktemp -d -p "$(dirname "$tilewise")") || exit 1
scratch=$(cd "$scratch" && pwd)
trap 'rm -rf "$scratch"' EXIT

# What --plain says in the words that drive.js uses: titles, what is on chip, the rows, the row, the bytes.
plain() {
    local place='(registers|shared memory|SRAM)'
    "$tilewise" step --plain "$@" | sed -nE \
        -e 's/^(tile|end of) (.*) \([a-z0-9_]+\.c, lines .*\)$/\1 \2/p' \
        -e "s/^ {11}([A-Za-z]+( sum)?) +$place +([0-9]+ x [0-9]+) +([a-z0-9]+) +([0-9]+)\$/\\1 \\4 \\5 \\6/p" \
        -e "s/^ {11}($place: .* bytes)\$/\\1/p" \
        -e '/^  rows +row/{s/^  rows +row +(m|LSE) +l$/\1/;h}' \
        -e '/^ {11}[0-9]+ +[-0-9a-z.+]+ +[-0-9a-z.+]+$/{G;s/^ +([0-9]+) +([^ ]+) +([^ ]+)\n(.*)$/\1 \4 \2 l \3/p}' \
        -e 's/^  ((row|key) [0-9]+:) (neither|not|no dQ) .*$/\1 nothing/p; t' \
        -e 's/^  ((row|key) [0-9]+: .*)$/\1/p' \
        -e 's/^ +((SRAM|HBM) (fill|drain|read|write)) +([0-9,]+) +([0-9,-]+) +([0-9,-]+)$/\1 \4 \5 \6/p'
}

browse() { # page, width: what the page is when its scripts have run; complaints of the browser on stderr
    local sandbox=""
    [ "$(id -u)" != 0 ] || sandbox=--no-sandbox
    timeout 60 "$browser" --headless $sandbox --disable-gpu --disable-dev-shm-usage --user-data-dir="$scratch/profile" \
        --enable-logging=stderr --window-size="$2,900" --virtual-time-budget=20000 --dump-dom "file://$1"
}

failed=0
try() { # width, options of step…
    local width=$1
    shift
    "$tilewise" step --html "$scratch/page.html" "$@" || exit 1
    { sed '/<\/head>/,$d' "$scratch/page.html"; echo '<script>'; cat "$here/listen.js"; echo '</script>'
        sed -n '/<\/head>/,$p' "$scratch/page.html" | sed '/<\/body>/,$d'
        echo '<script>'; cat "$here/drive.js"; echo '</script></body></html>'; } >"$scratch/driven.html"
    browse "$scratch/driven.html" "$width" >"$scratch/dom" 2>"$scratch/log"
    sed -n '/^<pre id="report">/,/^<\/pre>/p' "$scratch/dom" | sed '1d;$d' >"$scratch/shown"
    plain "$@" >"$scratch/expected"
    grep CONSOLE "$scratch/log" | sed 's/^/complaint: /' >>"$scratch/shown"
    if ! [ -s "$scratch/expected" ] || ! diff "$scratch/expected" "$scratch/shown" >"$scratch/difference"; then
        echo "the page of tilewise step $* at width $width is not as --plain says:"
        head -n 20 "$scratch/difference"
        failed=1
    fi
}

try 1400 --example --row 3
try 500 --example --algorithm flash1
try 500 --seqlen-q 9 --seqlen-k 13 --causal --heads 2 --heads-kv 1 --seed 5
try 1400 --algorithm standard_tiled --seqlen 5 --machine paper
try 900 --algorithm standard --seqlen-q 6 --seqlen-k 2 --causal
try 500 --algorithm gqa_packed --heads 4 --heads-kv 2
try 500 --algorithm standard_tiled --seqlen-q 2 --seqlen-k 25 --head-dim 2 --sram 48
try 1400 --pass backward --row 1
try 500 --pass backward --algorithm flash1 --heads 2
try 900 --pass backward --algorithm standard --row 2
try 500 --pass backward --algorithm standard_tiled --seqlen 5 --dropout 0.3
exit $failed
