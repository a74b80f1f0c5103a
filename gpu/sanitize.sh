#!/usr/bin/env bash
# All four tools of compute-sanitizer on every kernel and every tiling that was built, on a problem with tails on
# both sides, grouped heads and two masks. Exit status: 0 all clean, 1 not, 2 could not be run.
#
# usage: sanitize.sh [tilewise-gpu]
#
# initcheck runs `launch`, where O, LSE and the workspace are not poisoned beforehand. It does not see what cuBLAS
# writes (it reports every score that 01_standard_cublas then reads), so that kernel runs under `validate`, where
# the poison itself finds what was not written: a NaN.
set -u
program=${1:-build/tilewise-gpu}
shape=(--seqlen-q 150 --seqlen-k 200 --heads 2 --heads-kv 1 --head-dim "64,96,128,256" --mask both)
log=$(mktemp)
trap 'rm -f "$log"' EXIT

command -v compute-sanitizer >/dev/null || {
    echo 'sanitize.sh: compute-sanitizer is not there: it comes with the CUDA toolkit' >&2
    exit 2
}

failed=0
check() { # tool, then the options of tilewise-gpu
    local tool=$1
    shift
    compute-sanitizer --tool "$tool" --error-exitcode 9 --print-limit 5 "$program" "$@" "${shape[@]}" >"$log" 2>&1
    local rc=$?
    printf '%-10s %-40s %s\n' "$tool" "$1 ${3:-}" "$(grep -E 'SUMMARY' "$log" | head -1)"
    if [ $rc -ne 0 ]; then
        failed=1
        head -40 "$log"
    fi
}

all_but_cublas=$("$program" list | awk '/^[^ ]/ && $1 != "01_standard_cublas" {printf "%s%s", n++ ? "," : "", $1}')
for tool in memcheck racecheck synccheck; do
    check $tool validate
done
check initcheck launch --kernel "$all_but_cublas"
check initcheck launch --kernel "$all_but_cublas" --block-m 64 --block-n 64
check initcheck validate --kernel 01_standard_cublas
exit $failed
