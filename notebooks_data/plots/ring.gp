# Ring attention: a step's work beside the link, against the rows that a device has.
name = "ring"
title_text = "Ring attention on 8 devices: a step's work, and a part over the link"
panel_height = 330
panel_rows = 1
legend_entries = '4'
note_text = "32 heads of 128, fp16. Work by the roofline of the slowest device; NVLink by its data sheet."
can_be_measured = 0
load "notebooks_data/plots/style.gp"
source_text = "Lines: predicted by ".predicted_by.". Nothing here is measured."

set multiplot
@put_titles
set logscale xy
set logscale x 2
set xrange [220:37000]
set yrange [1:1e5]
set xtics ("256" 256, "1k" 1024, "4k" 4096, "16k" 16384)
set ytics ("1" 1, "10" 10, "100" 100, "1000" 1000, "10,000" 1e4, "100,000" 1e5)
set xlabel "rows a device" offset 0,0.4
set tmargin at screen quad_top(0); set bmargin at screen quad_bottom(0)
pick_causal(wanted, value) = column("causal") == wanted ? value : NaN
do for [part = 0:1] {
    set lmargin at screen quad_left(part); set rmargin at screen quad_right(part)
    set title (part ? "causal" : "no mask")
    set ylabel (part ? "" : "µs a step") offset -0.6,0
    plot data."/ring.csv" using (column("rows")):(pick_causal(part, column("link_us"))) \
             with lines lw 2.5 lc rgb "#222222", \
         data."/ring.csv" using (column("rows")):(pick_causal(part, column("slowest_us"))) \
             with linespoints pt 7 ps 0.5*mark_scale lw 2.5 lc rgb "#d55e00", \
         data."/ring.csv" using (column("rows")):(pick_causal(part, column("striped_us"))) \
             with linespoints pt 7 ps 0.5*mark_scale lw 2.5 lc rgb "#0072b2", \
         data."/ring.csv" using (column("threshold")):(column("rows") == 256 ? 1 : NaN):(0):(1e5) \
             with vectors nohead dt 2 lw 1.5 lc rgb "#888888"
    @end_titles
}

@legend_panel
plot NaN, keyentry with lines lw 2.5 lc rgb "#222222" title "a part of K and V over the link", \
     keyentry with linespoints lw 2.5 pt 7 ps 0.5*mark_scale lc rgb "#d55e00" title "ring: work of the slowest device", \
     keyentry with linespoints lw 2.5 pt 7 ps 0.5*mark_scale lc rgb "#0072b2" title "ring_striped", \
     keyentry with lines dt 2 lw 1.5 lc rgb "#888888" title "F / B"
unset multiplot
