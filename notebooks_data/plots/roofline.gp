# Roofline: FLOP/s of every kernel against the FLOPs it does for each byte, once of HBM and once of the L2.
name = "roofline"
title_text = "Roofline, head_dim 128, not causal"
panel_height = 380
panel_rows = 1
legend_entries = 'words(kernels) + 1'
note_text = "fp16, 16k tokens in all, N = 512 (small mark) to 16k (large).  FLOPs: unmasked pairs.  Bytes of rungs 40 to 47 are predicted."
load "notebooks_data/plots/style.gp"

d = 128
causal = 0
# The ceilings, from the machine file.
stats data."/machine.csv" using "hbm_read_bytes_per_s" name "HBM" nooutput
stats data."/machine.csv" using "l2_bytes_per_s" name "L2" nooutput
stats data."/machine.csv" using "tensor_fp16_flops_per_s" name "TENSOR" nooutput
stats data."/machine.csv" using "fma_flops_per_s" name "FMA" nooutput

bytes(which, level) = column(which.(level ? "_fill_bytes" : "_hbm_read_bytes")) \
                      + column(which.(level ? "_drain_bytes" : "_hbm_write_bytes"))
intensity(which, level) = column("flops") / bytes(which, level)
# Where the counters of the hardware were not read, bytes are predicted: by replay through the L2, or what must move.
replayed(level) = level ? intensity("predicted", 1) : column("flops") / (column("predicted_l2_hbm_read_bytes") \
                                                                         + column("predicted_l2_hbm_write_bytes"))
known(measured, predicted) = measured == measured ? measured : predicted
tflops_per_s(which) = column("flops") / column(which."_time_us") / 1e6
mark_size(n) = (0.6 + 0.28 * log(n / 512) / log(2)) * mark_scale
low = 4.0
high = 20000.0
ceiling(x, bandwidth, top) = x * bandwidth < top ? x * bandwidth / 1e12 : top / 1e12

set samples 1000
set multiplot
@put_titles
set logscale xy 10
set xrange [low:high]
set yrange [1:2000]
set format x "%g"
set format y "%g"
do for [level = 0:1] {
    bandwidth = level ? L2_max : HBM_max
    set lmargin at screen quad_left(level); set rmargin at screen quad_right(level)
    set tmargin at screen quad_top(0);      set bmargin at screen quad_bottom(0)
    set title (level ? "L2: SRAM fill + drain" : "HBM: read + written")
    set ylabel (level ? "" : "TFLOP/s") offset 0.8,0
    set xlabel "FLOPs per byte" offset 0,0.4
    set label 11 sprintf("tensor cores, %.0f TFLOP/s", TENSOR_max / 1e12) at high,TENSOR_max/1e12 right offset 0,0.6 font small
    set label 12 sprintf("FMA, %.1f TFLOP/s", FMA_max / 1e12) at high,FMA_max/1e12 right offset 0,0.6 font small
    set label 13 sprintf("%s, %.2f TB/s", level ? "L2" : "HBM", bandwidth / 1e12) \
        at low*1.3,ceiling(low*1.3, bandwidth, TENSOR_max)*1.25 rotate by 38.6 font small
    plot [x = low:high] ceiling(x, bandwidth, TENSOR_max) with lines lw 2 lc rgb "#222222", \
         [x = FMA_max/bandwidth:high] FMA_max / 1e12 with lines lw 1.5 lc rgb "#222222", \
         for [i = words(kernels):1:-1] data."/grid.csv" \
             using (pick(kernel(i), d, causal, intensity("predicted", level))):(tflops_per_s("predicted")) \
             with linespoints pt 7 ps 0.25 lw 2 dt dash_of(i) lc rgb kernel_color(i), \
         for [i = 1:recorded*words(kernels)] data."/grid.csv" \
             using (pick(kernel(i), d, causal, known(intensity("measured", level), known(replayed(level), intensity("predicted", level))))):(tflops_per_s("measured")): \
                   (mark_size(column("seqlen_k"))) \
             with points pt mark_of(i) ps variable lc rgb kernel_color(i)
    @end_titles
}
unset label

set label 3 source_text at screen 0.02,0 offset 0,0.8 font small textcolor "#666666"
@legend_panel
plot NaN, for [i = 1:words(kernels)] keyentry with linespoints lw 2 dt dash_of(i) pt mark_of(i) ps size_of(i) \
         lc rgb kernel_color(i) title kernel(i)." (".algorithm(i).")", \
     keyentry with lines lw 2 lc rgb "#222222" title "ceilings, as measured on the machine"
unset multiplot
