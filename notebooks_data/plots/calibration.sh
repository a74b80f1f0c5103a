#!/usr/bin/env bash
# Draws calibration.svg and .png from what `tilewise-gpu calibrate --plots FOLDER` wrote.
#
#   calibration.sh FOLDER OUT_DIR      (run from the top of the repository)
set -euo pipefail
if [ $# -ne 2 ]; then
    echo "usage: calibration.sh FOLDER OUT_DIR: FOLDER has readings.csv of tilewise-gpu calibrate --plots FOLDER" >&2
    exit 2
fi
data=$1 out=$2
if [ ! -s "$data/readings.csv" ]; then
    echo "calibration.sh: $data/readings.csv is not there: tilewise-gpu calibrate --plots $data writes it" >&2
    exit 2
fi
mkdir -p "$out"

header() { sed -n "s/^# $1: //p" "$data/readings.csv" | head -n 1; }
reading() { # number, format, divisor
    awk -F, -v number="$1" -v format="$2" -v divisor="$3" \
        '$1 == number && $8 == 1 { printf format, $2 / divisor }' "$data/readings.csv"
}

# Every curve has a file, if only with a header: a panel without rows says that it was not measured.
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for curve in l2_hits l2_rate softmax clock copy readings; do
    if [ -s "$data/$curve.csv" ]; then cp "$data/$curve.csv" "$folder"; else echo "nothing" >"$folder/$curve.csv"; fi
done

note="L2: side $(reading l2_side_bytes %.1f 1048576) MiB"
note+=", near $(reading l2_near_latency_cycles %.0f 1), far $(reading l2_far_latency_cycles %.0f 1) cycles"
note+=", $(reading l2_bytes_per_s %.2f 1e12) TB/s.  HBM: $(reading hbm_read_bytes_per_s %.2f 1e12) TB/s read"
measured_on="$(header gpu), driver $(header driver), commit $(header commit)"
for format in svg png; do
    gnuplot -e "format='$format'; data='$folder'; out='$out'; measured_on='${measured_on//\'/ }'" \
        -e "title_text='Calibration of $(header gpu | tr -d "'")'; note_text='${note//\'/ }'" \
        notebooks_data/plots/calibration.gp 2> >(grep -vE 'Skipping data file with no valid points|^$' >&2 || true)
done
