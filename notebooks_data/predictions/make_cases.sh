#!/usr/bin/env bash
# Writes the cases that HBM traffic is predicted for before it is measured, to stdout. They are on an H100, in fp16.
#
# usage: make_cases.sh predict            all of them, as CSV for `tilewise predict`
#        make_cases.sh flushed | warm     those that are to be measured, as lines for `tilewise-gpu launch --cases`
#
#   lengths   10_flash1, 20_flash2 and 30_flash2_mma with four tiles each, 512 to 128k, in their own order
#   orders    30_flash2_mma, 4k to 64k, in every order of blocks and of keys
#   groups    20_flash2 and 30_flash2_mma, four query heads on each K/V head, and all on one
#   warm      each rung up to 16k, started with what the run before it left in the L2
#
# Up to 16k there are 16k tokens in all and heads x head_dim = 2048, as in the recorded data; above, one sequence, and
# heads x head_dim = 1024 at 32k and 64k, 512 at 128k, so that no case takes a GPU more than a second or two.
#
# What is measured of these is what fits into four minutes of Nsight Compute; should_measure() says what does not.
set -euo pipefail

case ${1:-} in
predict | flushed | warm) wanted=$1 ;;
*)
    echo "make_cases.sh: '${1:-}' must be predict, flushed or warm" >&2
    exit 2
    ;;
esac

tokens=16384

heads_at() { # length head_dim
    if [ "$1" -le 16384 ]; then
        echo $((2048 / $2))
    elif [ "$1" -le 65536 ]; then
        echo $((1024 / $2))
    else
        echo $((512 / $2))
    fi
}

should_measure() { # set kernel block_m block_n length head_dim causal order kv_order
    case $1:$2:$5:$3x$4 in
    lengths:10_flash1:32768:* | lengths:10_flash1:65536:* | lengths:10_flash1:131072:*) return 1 ;; # seconds a launch
    lengths:20_flash2:*:128x128) return 0 ;;
    lengths:20_flash2:1024:* | lengths:20_flash2:4096:* | lengths:20_flash2:16384:*) return 0 ;;
    lengths:20_flash2:*) return 1 ;;
    orders:*:32768:*) return 1 ;;
    orders:*) # without a mask, the order of equal blocks matters little: two of them, at one head_dim
        [ "$7" = 1 ] || { [ "$6" = 128 ] && [ "$5" -ge 16384 ] && [[ $8 =~ ^(linear|head_major)$ ]]; } ;;
    groups-all:20_flash2:*) return 1 ;;
    warm:10_flash1:*) return 1 ;; # a launch that sets O, m and l runs before it, in every run
    esac
}

row() { # set kernel block_m block_n length head_dim causal heads_per_kv_head order kv_order start
    local set=$1 kernel=$2 block_m=$3 block_n=$4 length=$5 head_dim=$6 causal=$7 order=$9 kv_order=${10} start=${11}
    local algorithm=flash2 batch=1 heads heads_kv=1
    [ "$kernel" != 10_flash1 ] || algorithm=flash1
    [ "$length" -ge $tokens ] || batch=$((tokens / length))
    heads=$(heads_at "$length" "$head_dim")
    [ "$8" = all ] || heads_kv=$((heads / $8))
    if [ "$wanted" = predict ]; then
        echo "$algorithm,h100,$batch,$heads,$heads_kv,$length,$length,$head_dim,fp16,$causal,$block_m,$block_n,$kernel,$order,$kv_order,$start"
    elif [ "$wanted" = "$start" ] && should_measure "$set" "$kernel" "$block_m" "$block_n" "$length" "$head_dim" "$causal" "$order" "$kv_order"; then
        local mask=none options="--order $order --kv-order $kv_order"
        [ "$causal" = 0 ] || mask=causal
        [ "$order $kv_order" != "own forward" ] || options=""
        echo "--kernel $kernel --batch $batch --heads $heads --heads-kv $heads_kv --seqlen $length --head-dim $head_dim" \
            "--mask $mask --block-m $block_m --block-n $block_n $options"
    fi
}

shapes() { # set lengths head_dims, then what row() is to be called with around them
    local length head_dim causal
    for head_dim in $3; do
        for causal in 0 1; do
            for length in $2; do
                row "$1" "$4" "$5" "$6" "$length" "$head_dim" $causal "$7" "$8" "$9" "${10}"
            done
        done
    done
}

short="512 1024 2048 4096 8192 16384"
[ "$wanted" != predict ] ||
    echo "algorithm,machine,batch,num_heads,num_heads_kv,seqlen_q,seqlen_k,head_dim,dtype,causal,block_m,block_n,kernel,order,kv_order,start"

# shellcheck disable=SC2086 # $kernel is three words, here and below
for kernel in "10_flash1 128 128" \
    "20_flash2 128 128" "20_flash2 128 64" "20_flash2 64 128" "20_flash2 64 64" \
    "30_flash2_mma 128 64" "30_flash2_mma 128 128" "30_flash2_mma 64 64" "30_flash2_mma 64 128"; do
    shapes lengths "$short 32768 65536 131072" "64 128" $kernel 1 own forward flushed
done
# 30_flash2_mma takes other orders with its own tiles: 128 x 128 at head_dim 64, 128 x 64 at 128.
for order in linear reversed longest_first head_major snake; do
    for kv_order in forward backward alternating; do
        shapes orders "4096 16384 32768 65536" 64 30_flash2_mma 128 128 1 $order $kv_order flushed
        shapes orders "4096 16384 32768 65536" 128 30_flash2_mma 128 64 1 $order $kv_order flushed
    done
done
# shellcheck disable=SC2086
for kernel in "20_flash2 128 128" "30_flash2_mma 128 64"; do
    for group in 4 all; do
        shapes groups-$group "1024 4096 16384 65536" "64 128" $kernel $group own forward flushed
    done
done
# shellcheck disable=SC2086
for kernel in "10_flash1 128 128" "20_flash2 128 128" "30_flash2_mma 128 64"; do
    shapes warm "$short" "64 128" $kernel 1 own forward warm
done
