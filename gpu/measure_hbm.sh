#!/usr/bin/env bash
# Measures what notebooks_data/predictions/h100_hbm.csv predicts: HBM bytes by Nsight Compute, in about four minutes.
#
# usage: measure_hbm.sh OUT_FOLDER [tilewise-gpu]      (from the top of the repository; needs no make and no compiler)
#
# Into OUT_FOLDER go hbm_orders.csv, hbm_mma.csv, hbm_warm.csv, hbm_flash2.csv and hbm_flash1.csv, in this order, what takes
# longest last: a run that is cut off has the others. With build/tilewise there is errors.txt, too, from `tilewise compare`.
# Exit status: 0 all measured, 1 not.
set -u
[ "${1:-}" != --help ] || { sed -n '2,8s/^# \{0,1\}//p' "$0"; exit 0; }
out=${1:?usage: measure_hbm.sh OUT_FOLDER [tilewise-gpu]}
program=${2:-build/tilewise-gpu}
make_cases=notebooks_data/predictions/make_cases.sh
export PATH=$PATH:/usr/local/cuda/bin
failed=0
files=()
mkdir -p "$out" || exit 1

measure() { # name, further options of counters.py; the cases come from standard input
    local name=$1 begin=$SECONDS
    shift
    cat >"$out/hbm_$name.txt"
    if gpu/counters.py --program "$program" --csv "$out/hbm_$name.csv" "$@" --cases "$out/hbm_$name.txt"; then
        files+=(--measured "$out/hbm_$name.csv")
        echo "$name: $(wc -l <"$out/hbm_$name.txt") cases in $((SECONDS - begin)) s"
    else
        failed=1
    fi
}

measure orders < <($make_cases flushed | grep -e --order)
measure mma < <($make_cases flushed | grep -v -e --order | grep 30_flash2_mma)
measure warm --start warm < <($make_cases warm)
measure flash2 < <($make_cases flushed | grep 20_flash2)
measure flash1 < <($make_cases flushed | grep 10_flash1)

if [ -x build/tilewise ] && [ ${#files[@]} -gt 0 ]; then
    build/tilewise compare "${files[@]}" --predicted notebooks_data/predictions/h100_hbm.csv >"$out/errors.txt" || failed=1
fi
exit $failed
