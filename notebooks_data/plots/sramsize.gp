# SRAM traffic against the size of SRAM, and what no algorithm can go below.
name = "sramsize"
title_text = "What crosses the border of SRAM, against the size of SRAM"
panel_height = 330
panel_rows = 1
legend_entries = '5'
note_text = "One head, N = 4096, fp16, two levels. Elements in and out.  * min(N²d/√M, N²d²/M), constants left out."
can_be_measured = 0
load "notebooks_data/plots/style.gp"
source_text = "Lines: counted by ".predicted_by[1:strstrt(predicted_by, ",")-1].", machine paper."

set multiplot
@put_titles
set logscale xy
set logscale x 2
set xrange [3200:5300000]
set yrange [3e4:3e9]
set xtics ("4 K" 4096, "16 K" 16384, "64 K" 65536, "256 K" 262144, "1 M" 1048576, "4 M" 4194304)
set ytics ("10^5" 1e5, "10^6" 1e6, "10^7" 1e7, "10^8" 1e8, "10^9" 1e9)
set xlabel "SRAM, bytes" offset 0,0.4
set tmargin at screen quad_top(0); set bmargin at screen quad_bottom(0)
pick_width(d, value) = column("head_dim") == d && value > 0 ? value : NaN
do for [part = 0:1] {
    d = part ? 128 : 64
    set lmargin at screen quad_left(part); set rmargin at screen quad_right(part)
    set title "head_dim ".d
    set ylabel (part ? "" : "elements") offset -0.6,0
    plot data."/sram.csv" using (column("sram_bytes")):(pick_width(d, column("flash1_elements"))) \
             with linespoints pt 7 ps 0.5*mark_scale lw 2.5 lc rgb color("flash1"), \
         data."/sram.csv" using (column("sram_bytes")):(pick_width(d, column("flash2_elements"))) \
             with linespoints pt 7 ps 0.5*mark_scale lw 2.5 lc rgb color("flash2"), \
         data."/sram.csv" using (column("sram_bytes")):(pick_width(d, column("standard_elements"))) \
             with lines lw 2 dt 3 lc rgb color("standard"), \
         data."/sram.csv" using (column("sram_bytes")):(pick_width(d, column("saha_ye_elements"))) \
             with lines lw 2.5 lc rgb "#222222", \
         data."/sram.csv" using (column("sram_bytes")):(pick_width(d, column("compulsory_elements"))) \
             with lines lw 2 dt 2 lc rgb "#222222"
    @end_titles
}

@legend_panel
plot NaN, keyentry with linespoints lw 2.5 pt 7 ps 0.5*mark_scale lc rgb color("flash1") title "flash1, its paper's tiles", \
     keyentry with linespoints lw 2.5 pt 7 ps 0.5*mark_scale lc rgb color("flash2") title "flash2, tallest tile of Q", \
     keyentry with lines lw 2 dt 3 lc rgb color("standard") title "standard, textbook", \
     keyentry with lines lw 2.5 lc rgb "#222222" title "lower bound*", \
     keyentry with lines lw 2 dt 2 lc rgb "#222222" title "compulsory: each tensor once"
unset multiplot
