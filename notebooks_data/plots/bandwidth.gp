# Read bandwidth against the size of the working set, as `tilewise calibrate-cpu --csv FOLDER/curves.csv` measured it:
#   gnuplot -e "data='FOLDER'; out='FOLDER'; format='png'" notebooks_data/plots/bandwidth.gp
name = "bandwidth"
title_text = "Read bandwidth against the size of the working set"
panel_height = 330
panel_rows = 1
legend_entries = '2'
if (!exists("note_text")) note_text = "All cores together. Where a curve falls, a cache ends."
can_be_measured = 0
load "notebooks_data/plots/style.gp"
source_text = "Points: measured by tilewise calibrate-cpu."

curve(who, what) = strcol("who") eq who ? column(what) : NaN
set multiplot
@put_titles
set logscale x 2
set logscale y 10
set xlabel "working set of one core (own), of all cores (all), bytes" offset 0,0.4
set ylabel "GB/s" offset 0.8,0
set xtics ("16 K" 16384, "64 K" 65536, "256 K" 262144, "1 M" 1048576, "4 M" 4194304, "16 M" 16777216, "64 M" 67108864, \
           "256 M" 268435456)
set lmargin at screen quad_left(0); set rmargin at screen quad_right(1)
set tmargin at screen quad_top(0);  set bmargin at screen quad_bottom(0)
plot data."/curves.csv" using (column("working_set_bytes")):(curve("own", "read_bytes_per_s") / 1e9) \
         with linespoints pt 7 ps 0.8*mark_scale lw 2 lc rgb "#0072B2", \
     data."/curves.csv" using (column("working_set_bytes")):(curve("all", "read_bytes_per_s") / 1e9) \
         with linespoints pt 9 ps 0.8*mark_scale lw 2 lc rgb "#D55E00"
@end_titles
@legend_panel
plot NaN, keyentry with linespoints pt 7 ps 0.8*mark_scale lw 2 lc rgb "#0072B2" title "own: each core reads memory of its own", \
     keyentry with linespoints pt 9 ps 0.8*mark_scale lw 2 lc rgb "#D55E00" title "all: all cores read the same"
unset multiplot
