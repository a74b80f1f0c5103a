# Bytes of the backward pass against sequence length, beside those of the forward pass.
name = "backward"
title_text = "Bytes of one backward pass"
panel_height = 330
panel_rows = 1
legend_entries = '6'
note_text = "fp16, batch 1, 16 heads, head_dim 64, no mask.  Tiles are each algorithm's own choice on an H100."
can_be_measured = 0
load "notebooks_data/plots/style.gp"

bytes(level) = level == 0 ? column("sram_fill_bytes") + column("sram_drain_bytes") \
                          : column("hbm_read_bytes") + column("hbm_write_bytes")
of(pass, a, level) = strcol("pass") eq pass && strcol("algorithm") eq (pass eq "backward" ? a."_backward" : a) \
                     ? bytes(level) / 1e9 : NaN
shown = "standard standard_tiled flash1 flash2"

set multiplot
@put_titles
set logscale x 2
set logscale y 10
set xrange [420:80000]
set xtics ("512" 512, "1k" 1024, "2k" 2048, "4k" 4096, "8k" 8192, "16k" 16384, "32k" 32768, "64k" 65536)
set yrange [0.003:3000]
set ytics ("1 TB" 1000, "100 GB" 100, "10 GB" 10, "1 GB" 1, "100 MB" 0.1, "10 MB" 0.01)
set tmargin at screen quad_top(0); set bmargin at screen quad_bottom(0)
set xlabel "sequence length N" offset 0,0.4
do for [level = 0:1] {
    set lmargin at screen quad_left(level); set rmargin at screen quad_right(level)
    set title level ? "HBM, what must move once a launch" : "in and out of the SMs"
    plot for [a in shown] data."/backward.csv" using (column("seqlen_k")):(of("backward", a, level)) \
             with lines lw 2.5 lc rgb color(a), \
         for [a in "standard_tiled flash2"] data."/backward.csv" using (column("seqlen_k")):(of("forward", a, level)) \
             with lines lw 1.5 dt 3 lc rgb color(a)
    @end_titles
}

@legend_panel
plot NaN, for [a in shown] keyentry with lines lw 2.5 lc rgb color(a) title a."_backward", \
     for [a in "standard_tiled flash2"] keyentry with lines lw 1.5 dt 3 lc rgb color(a) title a.", the forward pass"
unset multiplot
