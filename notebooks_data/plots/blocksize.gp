# IO and time against block size, as in Figure 2 (middle) of the FlashAttention paper, arXiv:2205.14135.
name = "blocksize"
title_text = "FlashAttention 1 against the size of its key tiles"
panel_height = 330
panel_rows = 1
legend_entries = '2'
if (!exists("sweep_shape")) sweep_shape = ""
note_text = sweep_shape
load "notebooks_data/plots/style.gp"

gigabytes(which) = (column(which."_fill_bytes") + column(which."_drain_bytes")) / 1e9
hbm_gigabytes(which) = (column(which."_hbm_read_bytes") + column(which."_hbm_write_bytes")) / 1e9

stats data."/sweep.csv" using "predicted_time_us" name "TIME" nooutput

set multiplot
@put_titles
set logscale x 2
set logscale y 10
set xlabel "block_n: rows of K and V in a tile" offset 0,0.4
set xtics ("8" 8, "16" 16, "32" 32, "64" 64, "128" 128, "256" 256, "512" 512)
set format y "%g"
set offsets graph 0.06, graph 0.06, 0, 0

set tmargin at screen quad_top(0); set bmargin at screen quad_bottom(0)
set lmargin at screen quad_left(0); set rmargin at screen quad_right(0)
set title "bytes; dashed: the compulsory minimum of HBM"
set ylabel "GB" offset 0.8,0
plot data."/sweep.csv" using (column("block_n")):(gigabytes("predicted")) with lines lw 2 lc rgb color("flash1"), \
     data."/sweep.csv" using (column("block_n")):(hbm_gigabytes("predicted")) with lines lw 2 dt 2 lc rgb color("flash1"), \
     data."/sweep.csv" using (column("block_n")):(gigabytes("measured")) with points pt 9 ps 1.1*mark_scale lc rgb color("flash1"), \
     data."/sweep.csv" using (column("block_n")):(hbm_gigabytes("measured")) with points pt 6 ps 1.9*mark_scale lc rgb color("flash1")
@end_titles

set lmargin at screen quad_left(1); set rmargin at screen quad_right(1)
set title "time; the line is a roofline"
set ylabel "ms"
set yrange [*<TIME_min/3e3:TIME_max*3e-3<*]
plot data."/sweep.csv" using (column("block_n")):(column("predicted_time_us")/1e3) with lines lw 2 lc rgb color("flash1"), \
     data."/sweep.csv" using (column("block_n")):(column("measured_time_us")/1e3) with points pt 9 ps 1.1*mark_scale lc rgb color("flash1")

@legend_panel
plot NaN, keyentry with linespoints lw 2 pt 9 ps 1.1*mark_scale lc rgb color("flash1") title "SRAM fill + drain; time", \
     keyentry with linespoints lw 2 dt 2 pt 6 ps 1.9*mark_scale lc rgb color("flash1") title "HBM read + written"
unset multiplot
