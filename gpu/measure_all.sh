#!/usr/bin/env bash
# Everything that is to be known of the kernels on one GPU, in one go of nine minutes: checks first, then measurements.
#
# usage: measure_all.sh OUT_FOLDER [tilewise-gpu]      (from the top of the repository; needs no make and no compiler)
#
# Into OUT_FOLDER go
#   report.txt     what every step printed, how long it took and how it ended; the summary stands at its end
#   ladder.csv     kernels and PyTorch's in turn, five rounds       more.csv     what the grid of `make bench` leaves out
#   long.csv       counters, 32k to 128k                            tiles.csv    counters, four tiles each, other head dims
# A step that fails or takes too long does not stop the next one; what it had not finished leaves no file. MINUTES=9 is
# when no further step is begun. Exit status: 0 all steps done, 1 not.
set -u
out=${1:?usage: measure_all.sh OUT_FOLDER [tilewise-gpu]}
program=${2:-build/tilewise-gpu}
cases=notebooks_data/cases
deadline=$((${MINUTES:-9} * 60))
report=$out/report.txt
summary=""
failed=0
export PATH=$PATH:/usr/local/cuda/bin
mkdir -p "$out" && : >"$report" || exit 1

# cuBLAS is loaded when the program starts; where it is not in its usual place, PyTorch has one.
if ldd "$program" | grep -q 'libcublas.* not found'; then
    LD_LIBRARY_PATH=$(dirname "$(find / -name 'libcublas.so.*' -not -path '/proc/*' 2>/dev/null | head -n 1)")
    export LD_LIBRARY_PATH
fi

note() { # step, what became of it: a line of the summary
    summary+=$(printf '%-12s %s' "$1" "$2")$'\n'
    printf '\n== %s: %s\n' "$1" "$2" | tee -a "$report"
}

ended() { # step, its log, its exit status, seconds
    cat "$2" >>"$report"
    tail -n 3 "$2"
    rm -f "$2"
    case $3 in
    0) note "$1" "done in $4 s" ;;
    124 | 137) note "$1" "STOPPED after $4 s" ;;
    *) note "$1" "FAILED with exit status $3 after $4 s" ;;
    esac
    [ "$3" -eq 0 ] || failed=1
}

step() { # name, seconds that it may take, command...
    local name=$1 limit=$2 begin=$SECONDS left=$((deadline - SECONDS)) log=$out/.$1.log
    shift 2
    if [ $left -lt 10 ]; then
        note "$name" "not begun, no time left"
        failed=1
        return
    fi
    timeout -k 5 $((limit < left ? limit : left)) "$@" >"$log" 2>&1
    ended "$name" "$log" $? $((SECONDS - begin))
}

# --- checks; the sanitizer works beside the others, which measure nothing ------------------------------------------
step doctor 60 "$program" doctor
sanitizer_begin=$SECONDS
timeout -k 5 200 gpu/sanitize.sh "$program" >"$out/.sanitize.log" 2>&1 &
sanitizer=$!
step validate 150 "$program" validate
step soak 90 "$program" soak --seconds 60
wait $sanitizer
ended sanitize "$out/.sanitize.log" $? $((SECONDS - sanitizer_begin))

# --- measurements --------------------------------------------------------------------------------------------------
step ladder 180 gpu/ladder.py --program "$program" --csv "$out/ladder.csv"
step long 150 gpu/counters.py --program "$program" --csv "$out/long.csv" --cases $cases/long.txt
step tiles 120 gpu/counters.py --program "$program" --csv "$out/tiles.csv" --cases $cases/tiles.txt
step more 90 "$program" bench --no-energy --csv "$out/more.csv" --cases $cases/bench.txt

printf '\n== summary after %d s\n%s' $SECONDS "$summary" | tee -a "$report"
exit $failed
