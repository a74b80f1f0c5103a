#!/usr/bin/env bash
# Prints the summary table and writes the page that shows it with the pictures.
#
#   report.sh MEASURED_DIR OUT_DIR      (after make_data.sh and, if there is gnuplot, draw.sh)
#
# OUT_DIR/index.html needs nothing but the pictures beside it: no network, no script.
set -euo pipefail
measured=$1 out=$2
tilewise=${TW_BUILD:-build}/tilewise
page=$out/index.html

files=()
for name in bench counters; do
    [ -s "$measured/$name.csv" ] && files+=("$measured/$name.csv")
done
recorded=${#files[@]}
[ "$recorded" -gt 0 ] && [ -s "$out/data/ladder.csv" ] && files+=("$out/data/ladder.csv")
[ "$recorded" -gt 0 ] || files=("$out/data/cases.csv")
read -r -a arguments <<<"$(sed -n 's/^compare_like=//p' "$out/data/captions.env")"
for file in "${files[@]}"; do
    arguments+=(--measured "$file")
done
if ! "$tilewise" compare "${arguments[@]}" --summary >"$out/summary.txt" 2>"$out/why.txt"; then
    sed 's/^tilewise: //' "$out/why.txt" >"$out/summary.txt" # a page without a table is still a page
fi
rm -f "$out/why.txt"
if [ -s "$out/data/errors.txt" ]; then
    cp "$out/data/errors.txt" "$out/errors.txt"
elif [ "$recorded" -gt 0 ]; then
    "$tilewise" compare "${arguments[@]}" >"$out/errors.txt"
else
    echo "Nothing was measured, so there are no errors." >"$out/errors.txt"
fi

escape() { sed 's/&/\&amp;/g; s/</\&lt;/g; s/>/\&gt;/g'; }

figure() { # picture, title, what to see
    [ -s "$out/$1.svg" ] || return 0
    cat <<END
<figure>
<h2>$2</h2>
<div class="picture"><a href="$1.svg"><img src="$1.svg" alt="$2"></a></div>
<figcaption>$3 <a href="$1.png">PNG</a></figcaption>
</figure>
END
}

headers() { # what the CSV files say about themselves
    local name
    for name in bench counters ladder peers; do
        [ -s "$measured/$name.csv" ] || continue
        echo "<h3>$name.csv</h3>"
        echo "<pre>$(grep '^#' "$measured/$name.csv" | sed 's/^# *//' | escape)</pre>"
    done
}

{
    cat <<'END'
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Tilewise: predicted and measured</title>
<style>
:root { --text: #1c1c1c; --quiet: #595959; --page: #fcfcfa; --line: #d6d6d2; --box: #f3f3ef; --link: #00528a; }
@media (prefers-color-scheme: dark) {
    :root { --text: #e4e4e0; --quiet: #a9a9a4; --page: #161719; --line: #3a3c40; --box: #202225; --link: #7fc0f0; }
}
body { margin: 0 auto; padding: 1rem; max-width: 74rem; color: var(--text); background: var(--page);
       font: 1rem/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; margin: 0.5rem 0; } h2 { font-size: 1.2rem; margin: 0 0 0.5rem; } h3 { font-size: 1rem; }
a { color: var(--link); }
p, figcaption, li { max-width: 46rem; }
.quiet { color: var(--quiet); }
figure { margin: 2.5rem 0; }
.picture { overflow-x: auto; border: 1px solid var(--line); border-radius: 6px; background: #fff; }
.picture img { display: block; width: 100%; min-width: 44rem; height: auto; }
figcaption { margin-top: 0.5rem; }
pre { overflow-x: auto; padding: 0.75rem; border: 1px solid var(--line); border-radius: 6px; background: var(--box);
      font-size: 0.78rem; line-height: 1.35; }
</style>
</head>
<body>
<h1>Tilewise: predicted and measured</h1>
<p>Bytes and time of standard attention and of tiled attention. Predictions were made when this page was: from the
schedules of tile operations, for each shape and tiling anew.</p>
END
    if [ "$recorded" -gt 0 ]; then
        echo "<p>Measured on $(sed -n 's/^measured_on=//p' "$out/data/captions.env" | escape)."
    else
        echo "<p><strong>No measurements are recorded</strong>: pictures and tables show predictions alone."
    fi
    echo "Predicted by $(sed -n 's/^predicted_by=//p' "$out/data/captions.env" | escape).</p>"
    [ -s "$out/traffic.svg" ] || echo "<p><strong>The pictures were left out</strong>, because gnuplot was missing.</p>"

    echo "<h2>Standard and tiled attention, by sequence length</h2>"
    echo "<pre>$(escape <"$out/summary.txt")</pre>"

    figure traffic "Bytes" "Left, what crosses the border of the SMs: points lie on their lines, because every tile that \
a kernel loads is in the count. 26_cp_async alone fetches 1.5 times as much: its padded rows straddle the sectors of shared \
memory. Right, what reaches HBM: the line is what must move once, and the gap above it is what \
missed in the L2. At a constant number of tokens standard attention grows with N. flash2 does not, as far as HBM is concerned; \
flash1 rewrites O, m and l on every pass, and that outgrows the L2."
    figure traffic_causal "Bytes, causal" "The tiled schedules skip tiles that the mask hides, so they move about half. \
Standard attention computes all of S and masks it afterwards, so it moves what it moved before."
    figure runtime "Time" "A line is a roofline: the slowest of bytes over bandwidth and FLOPs over rate, launch by \
launch. How far a kernel lies above its line is what latency, idle SMs and everything else that a roofline does not \
know cost it."
    figure speedup "Speedup of tiled over standard attention" "Above 1× the tiled kernel is faster. Open marks compare \
kernels that are both in plain FMA; filled marks compare with the baseline whose products use tensor cores, which \
10_flash1 and 20_flash2 do not."
    figure roofline "Roofline" "Left of the bend bytes are the limit, right of it FLOPs. flash2 does so many FLOPs for \
each byte of HBM that HBM cannot be its limit; seen from the L2, on the right, it is nearer to the bend. A kernel that \
falls as N grows has too few thread blocks left to fill the GPU."
    figure blocksize "Block size" "Larger tiles of K and V mean fewer passes over Q and O: bytes fall as 1 / block_n. The \
time follows as far as bytes are its limit. After Figure 2 of the FlashAttention paper."
    figure memory "Memory" "S and P grow with N² and meet the end of the memory; all other tensors grow with N."
    figure calibration "Calibration" "Top: a set of W MiB that is read again and again. Walked in one direction, a cache \
that drops what was used longest ago keeps nothing of a set that it cannot hold; walked to and fro, it keeps its own \
size, a share of 1 - capacity / W. Lines that SMs of both sides of the L2 read are kept on both, so half as much fits. Middle: what \
that costs in bandwidth. Bottom: what a softmax step takes, and the clock that power leaves."

    figure sparsity "Block sparsity" "Tiles that a block mask leaves out are neither loaded nor computed, so bytes and time \
fall with the share of blocks that are on, whatever the pattern: butterfly, local and global, and random blocks lie on one \
line. It ends where Q and O, which move once all the same, weigh more than what is left of K and V, and where the \
launch itself does. After Figure 2 (right) of the FlashAttention paper."
    figure decode "Decoding: splits of the keys" "One query leaves an SM busy for each K/V head, 8 of 132, and the others \
idle. Every doubling of the splits halves the time until the SMs are full; beyond, each split only adds a partial result \
that is written, read and combined. A ring is what the rule of Flash-Decoding chooses, a dashed line is LeanAttention, \
which gives every block as many key tiles. The more sequences, the fewer splits: with 64 of them the rule takes one."
    figure l2size "HBM reads against the size of the L2" "The same bytes enter the SMs on every line: only the order of work \
differs. A line falls where what its order has in flight comes to fit. Under a causal mask, taking one tile of every head in \
turn (head_major) needs all heads' K and V at once; finishing a head before the next begins does not."
    figure sramsize "SRAM traffic against the size of SRAM" "More SRAM means larger tiles and fewer passes over K and V: \
traffic falls as 1 / M, as the lower bound does, until every tensor moves once. The bound has its constants left out, so its \
slope counts and not its height."
    figure accuracy "HBM bytes, predicted and measured" "Above, points on the line are right; below, the same points as \
errors. What lies off the band is listed below, among the errors."

    figure time "Time, predicted by the clock and measured" "The clock plays the stream of tile operations on one SM. \
Above, points on the line are right; below, the same points as errors. Where rungs 10 and 20 lie below, instructions that \
the clock does not know (addresses, loop counters) take time; 00_standard calls expf; cuDNN's and FlexAttention's tiles are \
guesses, and at 512 keys all SMs begin at once."
    figure limiter "What limits" "Standard attention waits for HBM wherever N x N numbers must pass it. The tiled algorithms \
leave HBM behind as N grows, and then the softmax (CUDA cores) or the products (tensor cores) are the limit: the wider a head, \
the more products for each exponential. Latency: one block an SM, whose steps wait for each other."
    figure timelines "The picture of overlap appearing" "One SM, three query tiles of rungs 40 to 44 at N = 4k, head_dim 128. \
Upper half of a lane: CUDA cores; lower half: products. 40_wgmma fills pauses with a second block, 42_pingpong with the \
other consumer's softmax, 43_overlap also with its own."

    figure backward "Backward pass" "Standard attention reads the stored P and writes and reads dP and dS, which grow with N². \
The tiled algorithms make P again from the row statistics, one tile at a time. In and out of the SMs they move N² d² / M as \
in the forward pass, with a larger factor: tiles are smaller, because S, dP, dK, dV and dQ are on chip together, and dQ \
goes out for every tile of keys, in fp32 sums for flash2. Where a row of P and one of dP no longer fit on chip, at 64k, \
standard_tiled reads them twice. Behind an L2 both ledgers of standard attention are one line, and of the tiled algorithms only \
tensors of N rows are left. Dotted: the forward pass."

    echo "<h2>Errors of the predictions</h2>"
    echo "<pre>$(escape <"$out/errors.txt")</pre>"
    echo "<h2>How this was measured</h2>"
    if [ "$recorded" -gt 0 ]; then
        headers
    else
        echo "<p>Not yet. On a machine with an H100: <code>make report GPU=1</code>.</p>"
    fi
    echo "<p class=\"quiet\">Every column is explained in notebooks_data/README.md; the data behind the pictures is in"
    echo "<a href=\"data/grid.csv\">data/grid.csv</a>. To make this page again: <code>make report</code>.</p>"
    echo "</body></html>"
} >"$page"

cat "$out/summary.txt"
echo
if [ "$recorded" -eq 0 ]; then
    echo "No measurements are recorded in $measured: the table shows predictions alone."
fi
if [ -s "$out/traffic.svg" ]; then
    echo "The report is $page, its pictures are beside it."
else
    echo "The report is $page. The pictures were left out, because gnuplot is missing."
fi
