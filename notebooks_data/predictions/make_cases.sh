#!/usr/bin/env bash
# Writes the cases that HBM traffic is predicted for before it is measured, as CSV to stdout; `make predictions` hands
# them to `tilewise predict`. They are on an H100, in fp16.
#
#   lengths   10_flash1, 20_flash2 and 30_flash2_mma with four tiles, 512 to 128k, in their own order
#   orders    30_flash2_mma, 4k to 64k, in every order of blocks and of keys
#   groups    20_flash2 and 30_flash2_mma, four query heads on each K/V head, and all on one
#   warm      each rung up to 16k, started with what the run before it left in the L2
#
# Up to 16k there are 16k tokens in all and heads x head_dim = 2048, as in the recorded data; above, one sequence, and
# heads x head_dim = 1024 at 32k and 64k, 512 at 128k, so that no case takes a GPU more than a second or two.
set -euo pipefail

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

row() { # kernel block_m block_n length head_dim causal heads_per_kv_head order kv_order start
    local algorithm=flash2 batch=1 heads heads_kv
    [ "$1" != 10_flash1 ] || algorithm=flash1
    [ "$4" -ge $tokens ] || batch=$((tokens / $4))
    heads=$(heads_at "$4" "$5")
    heads_kv=1
    [ "$7" = all ] || heads_kv=$((heads / $7))
    echo "$algorithm,h100,$batch,$heads,$heads_kv,$4,$4,$5,fp16,$6,$2,$3,$1,$8,$9,${10}"
}

shapes() { # lengths, then what row() is to be called with around them: kernel block_m block_n, and from groups on
    local length head_dim causal
    for head_dim in 64 128; do
        for causal in 0 1; do
            for length in $1; do
                row "$2" "$3" "$4" "$length" $head_dim $causal "$5" "$6" "$7" "$8"
            done
        done
    done
}

short="512 1024 2048 4096 8192 16384"
echo "algorithm,machine,batch,num_heads,num_heads_kv,seqlen_q,seqlen_k,head_dim,dtype,causal,block_m,block_n,kernel,order,kv_order,start"

for kernel in "10_flash1 128 128" "20_flash2 128 128" "30_flash2_mma 128 64" "30_flash2_mma 128 128" \
    "30_flash2_mma 64 64" "30_flash2_mma 64 128"; do
    shapes "$short 32768 65536 131072" $kernel 1 own forward flushed
done
for order in linear reversed longest_first head_major snake; do
    for kv_order in forward backward alternating; do
        shapes "4096 16384 32768 65536" 30_flash2_mma 128 64 1 $order $kv_order flushed
    done
done
for kernel in "20_flash2 128 128" "30_flash2_mma 128 64"; do
    for group in 4 all; do
        shapes "1024 4096 16384 65536" $kernel $group own forward flushed
    done
done
for kernel in "10_flash1 128 128" "20_flash2 128 128" "30_flash2_mma 128 64"; do
    shapes "$short" $kernel 1 own forward warm
done
