#!/usr/bin/env bash
# Predicts what the pictures show and sets it beside what was measured.
#
#   make_data.sh MEASURED_DIR DATA_DIR      (run from the top of the repository, through make)
#
# MEASURED_DIR may hold bench.csv, counters.csv and peers.csv; what is not there is left out. Into DATA_DIR go
#   grid.csv       every kernel on the grid of lengths: predicted_* and measured_* side by side
#   textbook.csv   the textbook's ledger on the same shapes
#   sweep.csv      flash1 with several block_n
#   speedup.csv    kernel over baseline: predicted_speedup, measured_speedup
#   peers.csv      other people's kernels on the grid
#   machine.csv    ceilings        memory.csv    tensors in HBM        sparsity.csv   block masks
#   decode.csv     one query: time against the number of splits of the keys
#   backward.csv   forward and backward passes, against sequence length
#   calibration/   curves of `tilewise-gpu calibrate --plots`, if MEASURED_DIR has them
#   l2_kernels.csv library kernels, and kernels in orders that show the L2: predicted_* and measured_*
#   l2size.csv     HBM reads against the size of the L2, in several orders of work
#   sram.csv       SRAM traffic against the size of SRAM, and lower bounds
#   time.csv       every kernel that was timed: predicted_* and measured_* by the clock
#   limiter.csv    what limits algorithms, by sequence length and head_dim
#   ladder.csv     rows of MEASURED_DIR/ladder.csv that bench.csv lacks, each with the median of its rounds
#   errors.txt     what tilewise compare says of all measurements
#   captions.env   what was measured on what, for the pictures and the page
# All predictions are made here, from shapes and tiles; none is stored.
set -euo pipefail
measured=$1 data=$2
tilewise=${TW_BUILD:-build}/tilewise
plot_data=${TW_BUILD:-build}/plot_data
mkdir -p "$data"
rm -rf "$data/calibration"
if [ -s "$measured/calibration/readings.csv" ]; then
    cp -r "$measured/calibration" "$data"
fi

case_columns=algorithm,machine,batch,num_heads,num_heads_kv,seqlen_q,seqlen_k,head_dim,dtype,causal,block_m,block_n,kernel
grid_shapes() { # algorithm block_m block_n kernel head_dim: 16k tokens in all, heads x head_dim = 2048
    local n causal d=$5
    for causal in 0 1; do
        for n in 512 1024 2048 4096 8192 16384; do
            echo "$1,h100,$((16384 / n)),$((2048 / d)),$((2048 / d)),$n,$n,$d,fp16,$causal,$2,$3,$4,"
        done
    done
}

own_tiles() { # head_dim: kernel, algorithm and the tiles that it uses there; exceptions stand below their kernel
    "$tilewise" list kernels | awk -v d="$1" '
        /^[^ ]/ { if (kernel) print kernel, algorithm, m, n
                  kernel = $1; algorithm = $2; m = $3; n = $5; next }
        $4 == "for" && $6 == d { m = $1; n = $3 }
        END { print kernel, algorithm, m, n }'
}

grid_cases() { # every kernel with its own tiles
    local kernel algorithm block_m block_n d
    for d in 64 128; do
        own_tiles "$d" | while read -r kernel algorithm block_m block_n; do
            grid_shapes "$algorithm" "$block_m" "$block_n" "$kernel" "$d"
        done
    done
}

sweep_cases() { # of Figure 2 of the FlashAttention paper, with the tiles that 10_flash1 is compiled for
    local block_n
    for block_n in 32 64 128 256; do
        echo "flash1,h100,64,16,16,1024,1024,64,fp16,0,64,$block_n,10_flash1,"
    done
}

predict() { # from cases CSV... into out: what `tilewise compare` makes of them, without comment lines
    local out=$1 file
    local -a files=()
    shift
    for file in "$@"; do
        files+=(--measured "$file")
    done
    "$tilewise" compare "${files[@]}" "${like[@]}" --csv - | grep -v '^#' >"$out"
}

medians_of_ladder() { # our kernels' rows of ladder.csv, each with the median of its rounds
    echo "$case_columns,time_us"
    grep -v '^#' "$1" | sort -t, -k15,15n | awk -F, -v OFS=, '
        $2 ~ /^(standard|flash)/ && $3 != "pytorch" {
            key = $2; for (i = 3; i <= 14; i++) key = key OFS $i
            time[key, count[key]++] = $15 }
        END { for (key in count) print key, time[key, int(count[key] / 2)] }' | sort
}

value_of() { # a key of a CSV's header lines
    sed -n "s/^# $2: *//p" "$1" | head -n 1
}

values_of() { # all values of a key, where a file holds several runs
    sed -n "s/^# $2: *//p" "$1" | awk '!seen[$0]++' | paste -sd, | sed 's/,/, /g'
}

# --- cases: the measured ones, or, where nothing is recorded, those that would be -------------------------------
measured_files=()
for name in bench counters; do
    [ -s "$measured/$name.csv" ] && measured_files+=("$measured/$name.csv")
done
rm -f "$data/ladder.csv"
if [ -s "$measured/ladder.csv" ] && [ -s "$measured/bench.csv" ]; then # what both have is taken from bench.csv
    medians_of_ladder "$measured/ladder.csv" | awk -F, -v OFS=, '
        FNR == NR { if ($1 !~ /^#/) seen[$3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13] = 1; next }
        FNR == 1 || !(($3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) in seen)' "$measured/bench.csv" - \
        >"$data/ladder.csv"
    measured_files+=("$data/ladder.csv")
fi
measured_on=""
machine=h100 # whose predictions are shown
like=()      # --machine, where the GPU that was measured has no machine file
if [ ${#measured_files[@]} -gt 0 ]; then
    first=${measured_files[0]}
    machine=$(grep -v '^#' "$first" | awk -F, 'NR == 2 { print $2 }')
    if ! "$tilewise" list machines | awk '{ print $1 }' | grep -qx -e "$machine"; then
        echo "there is no machine file for $machine: predictions are those of ${MACHINE:-h100} (MACHINE=... names another)"
        machine=${MACHINE:-h100}
        like=(--machine "$machine")
    fi
    measured_on="$(value_of "$first" gpu), driver $(value_of "$first" driver), commits $(values_of "$first" commit)"
else
    measured_files=("$data/cases.csv")
    {
        echo "$case_columns,time_us"
        grid_cases
        sweep_cases
    } >"$data/cases.csv"
fi
all_files=()
for file in "${measured_files[@]}"; do
    all_files+=(--measured "$file")
done
# Every shape is replayed through the L2 here, which takes a while: table and errors come from one run.
if ! "$tilewise" compare "${all_files[@]}" --csv "$data/all_with_comments.csv" >"$data/errors.txt" 2>/dev/null; then
    rm -f "$data/errors.txt" # nothing is measured: predictions alone
    predict "$data/all.csv" "${measured_files[@]}"
else
    grep -v '^#' "$data/all_with_comments.csv" >"$data/all.csv"
fi
rm -f "$data/all_with_comments.csv"

# --- the L2 ------------------------------------------------------------------------------------------------------
if [ -s "$measured/l2_kernels.csv" ]; then
    predict "$data/l2_kernels.csv" "$measured/l2_kernels.csv"
else
    head -n 1 "$data/all.csv" >"$data/l2_kernels.csv"
fi

l2_curve() { # order kv_order, further options: HBM reads behind L2s of several sizes, one row each
    local mib
    for mib in 3 5 8 12 16 20 25 35 50 80; do
        "$tilewise" cache --quick --algorithm flash2 --seqlen 32k --heads 8 --order "$1" --kv-order "$2" "${@:3}" \
            --set l2_side_bytes=${mib}M --csv - | grep -v '^#' | awk -F, 'NR == 1 || $16 == "all"'
    done
}
for order in "linear forward" "reversed forward" "snake alternating" "linear backward" "longest_first forward" \
    "head_major forward"; do
    l2_curve $order
    l2_curve $order --causal
done | awk 'NR == 1 || !/^algorithm/' >"$data/l2size.csv"
"$plot_data" sram >"$data/sram.csv"

# --- the grid, one row a kernel and shape (its first tiling), lengths ascending ---------------------------------
on_grid() { # all.csv
    head -n 1 "$1"
    awk -F, 'NR > 1 && $3 * $6 == 16384 && $4 * $8 == 2048 && $4 == $5 && $6 == $7 && $9 == "fp16" &&
             !seen[$13, $8, $10, $6]++' "$1" | sort -t, -k13,13 -k8,8n -k10,10n -k6,6n
}
on_grid "$data/all.csv" >"$data/grid.csv"
if [ "$(wc -l <"$data/grid.csv")" -eq 1 ]; then # none was measured
    {
        echo "$case_columns,time_us"
        grid_cases
    } >"$data/cases_grid.csv"
    predict "$data/grid.csv" "$data/cases_grid.csv"
fi
kernels=$(awk -F, 'NR > 1 && !seen[$13]++ {printf "%s%s", sep, $13; sep = " "}' "$data/grid.csv")
algorithms=$(awk -F, 'NR > 1 && !seen[$13]++ {printf "%s%s", sep, $1; sep = " "}' "$data/grid.csv")

{
    echo "$case_columns,time_us"
    for d in 64 128; do
        grid_shapes standard 128 128 textbook "$d"
    done
} >"$data/cases_textbook.csv"
predict "$data/textbook.csv" "$data/cases_textbook.csv"

# --- the sweep: the shape and block_m for which flash1 was run with most block_n --------------------------------
largest_sweep() { # all.csv
    awk -F, '
        NR == 1 { print; next }
        $1 == "flash1" {
            key = $13 "," $3 "," $4 "," $6 "," $8 "," $10 "," $11
            rows[key] = rows[key] $12 "\t" $0 "\n"
            if (++count[key] > most) { most = count[key]; best = key }
        }
        END { if (most > 2) printf "%s", rows[best] | "sort -n | cut -f 2-" }' "$1"
}
largest_sweep "$data/all.csv" >"$data/sweep.csv"
if [ "$(wc -l <"$data/sweep.csv")" -eq 1 ]; then # none was measured
    {
        echo "$case_columns,time_us"
        sweep_cases
    } >"$data/cases_sweep.csv"
    predict "$data/sweep.csv" "$data/cases_sweep.csv"
fi
sweep_shape=$(awk -F, 'NR == 2 {printf "%s: %s, batch %d, %d heads, N = %d, head_dim %d, %s, block_m %d.",
    $13, $9, $3, $4, $6, $8, $10 == 1 ? "causal" : "not causal", $11}' "$data/sweep.csv")

# --- speedups over the standard kernels -------------------------------------------------------------------------
# A kernel in plain FMA is compared with both baselines, one on tensor cores with that on tensor cores alone.
awk -F, '
    NR == 1 { for (i = 1; i <= NF; i++) column[$i] = i
              print "kernel,baseline,seqlen_k,head_dim,causal,predicted_speedup,measured_speedup"; next }
    { shape = $7 "," $8 "," $10; shapes[NR] = shape; kernel[NR] = $13; algorithm[NR] = $1
      if ($column["predicted_limit"] == "FMA") plain[$13] = 1
      predicted[$13, shape] = $column["predicted_time_us"]; measured[$13, shape] = $column["measured_time_us"] }
    END { split("00_standard 01_standard_cublas", baselines, " ")
          for (r = 2; r <= NR; r++) {
              if (algorithm[r] == "standard_tiled") continue
              for (b = plain[kernel[r]] ? 1 : 2; b <= 2; b++) {
                  base = baselines[b] SUBSEP shapes[r]; mine = kernel[r] SUBSEP shapes[r]
                  if (!(base in predicted)) continue
                  printf "%s,%s,%s,%.6g,", kernel[r], baselines[b], shapes[r], predicted[base] / predicted[mine]
                  if (measured[base] != "" && measured[mine] != "") printf "%.6g", measured[base] / measured[mine]
                  print ""
              } } }' "$data/grid.csv" >"$data/speedup.csv"
pairs=$(awk -F, 'NR > 1 && !seen[$1, $2]++ {printf "%s%s/%s", sep, $1, $2; sep = " "}' "$data/speedup.csv")

# --- peers, ceilings, memory ------------------------------------------------------------------------------------
echo "peer,pass,dtype,b,h,hkv,sq,sk,d,causal,ms,tflops,gbps" >"$data/peers.csv"
if [ -s "$measured/peers.csv" ]; then
    grep -v '^#' "$measured/peers.csv" |
        awk -F, '$2 == "fwd" && $3 == "fp16" && $4 * $7 == 16384 && $5 * $9 == 2048 && $7 == $8' >>"$data/peers.csv"
fi
peers=$(awk -F, 'NR > 1 && !seen[$1]++ {printf "%s%s", sep, $1; sep = " "}' "$data/peers.csv")
"$plot_data" machine "$machine" >"$data/machine.csv"
"$plot_data" memory >"$data/memory.csv"
"$plot_data" sparsity >"$data/sparsity.csv"
both_passes() { # the lengths of backward.gp
    "$tilewise" io --algorithm standard,standard_tiled,flash1,flash2 --seqlen 512..64k --head-dim 64 --pass "$1" --no-l2 --csv - |
        grep -v '^#'
}
{
    both_passes forward
    both_passes backward | tail -n +2
} >"$data/backward.csv"

decode_of() { # how, algorithm, options: predicted times of one query, a row each; `how` becomes the first column
    "$tilewise" predict --algorithm "$2" --seqlen-q 1 --heads 32 --heads-kv 8 --dtype bf16 "${@:3}" --csv - |
        grep -v '^#' | awk -v how="$1" 'NR == 1 { print "how," $0; next } { print how "," $0 }'
}
decode_curve() { # options of shape: with given splits, with those that fill the SMs, and in equal shares
    decode_of given flash_decoding --splits 1..128 "$@"
    decode_of own flash_decoding "$@" | tail -n +2
    decode_of shares lean_attention "$@" | tail -n +2
}
{
    decode_curve --batch 1 --seqlen-k 1k,4k,16k,64k
    decode_curve --batch 4,16,64 --seqlen-k 4k | grep -v '^how'
} >"$data/decode.csv"

# --- the clock ---------------------------------------------------------------------------------------------------
timed_files=()
for name in bench library; do
    [ -s "$measured/$name.csv" ] && timed_files+=(--against "$measured/$name.csv")
done
[ -s "$data/ladder.csv" ] && timed_files+=(--against "$data/ladder.csv")
if [ ${#timed_files[@]} -eq 0 ] || ! "$tilewise" predict "${timed_files[@]}" --csv - 2>/dev/null |
    grep -v '^#' >"$data/time.csv"; then
    echo "$case_columns,measured_time_us,predicted_time_us" >"$data/time.csv" # nothing is measured
fi

limiters() { # algorithm head_dim, further options: what limits at every length
    "$tilewise" predict --machine "$machine" --algorithm "$1" --head-dim "$2" --seqlen 128..16k --tokens 16k \
        --heads 16 "${@:3}" --csv - | grep -v '^#' | cut -d, -f 7,8,25 | sed "s/^/$1,/"
}
{
    for d in 32 64 96 128 192 256; do
        limiters standard_tiled "$d"
        limiters flash1 "$d"
        limiters flash2 "$d"
        case $d in 192) tile=96 ;; 256) tile=80 ;; *) tile=128 ;; esac # what fits twice beside Q
        limiters flash3 "$d" --block-n "$tile"
    done
} | awk 'NR == 1 { print "algorithm,seqlen_k,head_dim,limiter" } !/limiter$/' >"$data/limiter.csv"

commit=$("$tilewise" io --algorithm flash2 --csv - | sed -n 's/^# tilewise io, commit //p')
cat >"$data/captions.env" <<END
kernels=$kernels
algorithms=$algorithms
pairs=$pairs
peers=$peers
measured_on=$measured_on
predicted_by=tilewise $commit, machine $machine
compare_like=${like[*]}
sweep_shape=$sweep_shape
END
