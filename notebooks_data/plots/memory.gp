# Memory against sequence length: every tensor that an algorithm keeps in HBM, and what of it is not Q, K, V or O.
name = "memory"
title_text = "Memory that one attention forward needs in HBM"
panel_height = 330
legend_height = 2 * 28 + 8
legend_columns = 2
height = 108 + panel_height + 60 + legend_height + 34
note_text = "fp16, batch 1, 16 heads, head_dim 128.  Every tensor that a schedule's launches read or write."
can_be_measured = 0
load "notebooks_data/plots/style.gp"

stats data."/machine.csv" using "hbm_bytes" name "HBM" nooutput
footprint(a, what) = strcol("algorithm") eq a ? column(what) / 1e9 : NaN

set multiplot
@put_titles
set logscale x 2
set logscale y 10
set xrange [420:1300000]
set xtics ("512" 512, "2k" 2048, "8k" 8192, "32k" 32768, "128k" 131072, "512k" 524288)
set yrange [0.00001:20000]
set ytics ("10 TB" 1e4, "100 GB" 100, "1 GB" 1, "10 MB" 0.01, "100 kB" 1e-4)
set tmargin at screen quad_top(0); set bmargin at screen quad_bottom(0)
set xlabel "sequence length N" offset 0,0.4
set arrow 1 from 420,HBM_max/1e9 to 1300000,HBM_max/1e9 nohead lc rgb "#222222" lw 1.2
set label 11 sprintf("HBM of one H100: %.1f GB", HBM_max / 1e9) at 500,HBM_max/1e9 offset 0,0.6 font small
do for [part = 0:1] {
    set lmargin at screen quad_left(part); set rmargin at screen quad_right(part)
    set title part ? "besides Q, K, V and O" : "in all"
    what = part ? "workspace_bytes" : "footprint_bytes"
    plot data."/memory.csv" using (column("seqlen_k")):(footprint("standard_tiled", what)) \
             with lines lw 2.5 lc rgb color("standard_tiled"), \
         data."/memory.csv" using (column("seqlen_k")):(footprint("flash2", what)) \
             with lines lw 2.5 lc rgb color("flash2"), \
         data."/memory.csv" using (column("seqlen_k")):(footprint("flash1", what)) \
             with lines lw 2.5 dt 2 lc rgb color("flash1")
    @end_titles
}
unset label 11

@legend_panel
plot NaN, keyentry with lines lw 2.5 lc rgb color("standard_tiled") title "standard_tiled: S, P and LSE", \
     keyentry with lines lw 2.5 dt 2 lc rgb color("flash1") title "flash1: m and l", \
     keyentry with lines lw 2.5 lc rgb color("flash2") title "flash2: LSE", \
     keyentry with lines lw 1.2 lc rgb "#222222" title "all the HBM that there is"
unset multiplot
