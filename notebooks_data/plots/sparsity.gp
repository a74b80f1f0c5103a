# Bytes and time under block masks, as in Figure 2 (right) of the FlashAttention paper, arXiv:2205.14135.
name = "sparsity"
title_text = "Block-sparse attention against the share of blocks that are on"
panel_height = 330
panel_rows = 1
legend_entries = '5'
note_text = "fp16, batch 1, 16 heads, N = 16k, head_dim 64, tiles of 128 x 128, one block of the mask a tile."
can_be_measured = 0
load "notebooks_data/plots/style.gp"

of(pattern, a, value) = strcol("pattern") eq pattern && strcol("algorithm") eq a ? value : NaN
moved(pattern, a) = of(pattern, a, column("sram_bytes") / 1e9)
spent(pattern, a) = of(pattern, a, column("predicted_time_us") / 1e3)
stats data."/sparsity.csv" using (spent("random", "flash2")) name "T" nooutput
stats data."/sparsity.csv" using (moved("random", "flash2")) name "B" nooutput

set multiplot
@put_titles
set logscale xy 10
set xrange [0.006:1.3]
set xtics ("1 %%" 0.01, "2 %%" 0.02, "5 %%" 0.05, "10 %%" 0.1, "20 %%" 0.2, "50 %%" 0.5, "100 %%" 1)
set xlabel "share of blocks that are on" offset 0,0.4
set format y "%g"
set tmargin at screen quad_top(0); set bmargin at screen quad_bottom(0)
do for [part = 0:1] {
    set lmargin at screen quad_left(part); set rmargin at screen quad_right(part)
    set title part ? "predicted time" : "bytes: SRAM fill + drain"
    set ylabel part ? "ms" : "GB" offset 0.8,0
    full = part ? T_max : B_max
    set yrange [full*0.005:full*2.5]
    y(pattern, a) = part ? spent(pattern, a) : moved(pattern, a)
    plot full * x with lines lw 1 dt 3 lc rgb "#888888", \
         for [a in "flash1 flash2"] data."/sparsity.csv" using (column("share")):(y("random", a)) \
             with linespoints lw 2 pt 7 ps 0.7*mark_scale lc rgb color(a), \
         for [a in "flash1 flash2"] data."/sparsity.csv" using (column("share")):(y("butterfly", a)) \
             with points pt 4 ps 1.5*mark_scale lc rgb color(a), \
         for [a in "flash1 flash2"] data."/sparsity.csv" using (column("share")):(y("local and global", a)) \
             with points pt 9 ps 1.6*mark_scale lc rgb color(a)
    @end_titles
}

@legend_panel
plot NaN, keyentry with linespoints lw 2 pt 7 ps 0.7*mark_scale lc rgb color("flash1") title "flash1, random blocks", \
     keyentry with linespoints lw 2 pt 7 ps 0.7*mark_scale lc rgb color("flash2") title "flash2, random blocks", \
     keyentry with points pt 4 ps 1.5*mark_scale lc rgb "#444444" title "butterfly", \
     keyentry with points pt 9 ps 1.6*mark_scale lc rgb "#444444" title "local and global", \
     keyentry with lines lw 1 dt 3 lc rgb "#888888" title "proportional to the share (flash2)"
unset multiplot
