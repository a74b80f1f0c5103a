#!/usr/bin/env bash
# Draws every picture as SVG and PNG.   usage: draw.sh DATA_DIR OUT_DIR   (run from the top of the repository)
#
# With a folder calibration/ in DATA_DIR, what `tilewise-gpu calibrate --plots` wrote, calibration.gp is drawn too.
# DATA_DIR holds what make_data.sh wrote; captions.env there says on what it was measured. Each NAME.gp becomes
# OUT_DIR/NAME.svg and .png; traffic.gp also traffic_causal.
set -euo pipefail
data=$1 out=$2
here=notebooks_data/plots
mkdir -p "$out"

# What the scripts cannot read from a CSV's columns: one line `name=value` each.
settings="data='$data'; out='$out'"
while IFS='=' read -r name value; do
    settings+="; $name='${value//\'/ }'"
done <"$data/captions.env"

draw() { # script, further settings
    local format
    for format in svg png; do
        gnuplot -e "format='$format'; $settings; ${2:-}" "$here/$1.gp" \
            2> >(grep -vE 'Skipping data file with no valid points|empty y range' >&2 || true)
    done
}

for script in traffic runtime speedup roofline blocksize memory sparsity decode backward accuracy time limiter l2size sramsize; do
    draw "$script"
done
draw traffic "causal=1"
"${TW_BUILD:-build}/tilewise" timeline --seqlen 4k --first-tile 5 --tiles 3 --svg "$out/timelines.svg" --png "$out/timelines.png" \
    --kernel 40_wgmma,41_warp_specialized,42_pingpong,43_overlap,44_persistent >/dev/null
if [ -s "$data/calibration/readings.csv" ]; then
    "$here/calibration.sh" "$data/calibration" "$out"
fi
