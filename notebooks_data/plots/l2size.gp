# HBM reads against the size of the L2: the same bytes enter the SMs, and the order of work decides what the L2 keeps.
name = "l2size"
title_text = "HBM reads against the size of the L2"
panel_height = 330
panel_rows = 1
legend_entries = '6'
note_text = "flash2, tiles of 128 × 128, fp16, 8 heads of 128, N = 32k.  Two sides, each with copies of the other's."
can_be_measured = 0
load "notebooks_data/plots/style.gp"
source_text = source_text."  The L2 in other sizes than its own."

stats data."/l2size.csv" using "read_request_bytes" name "ASKED" nooutput
pick_order(c, o, k, value) = column("causal") == c && strcol("order") eq o && strcol("kv_order") eq k ? value : NaN
megabytes = 'column("l2_bytes") / 1048576'
read_gb = 'column("hbm_read_bytes") / 1e9'
compulsory_gb = 3 * 8 * 32768 * 128 * 2 / 1e9
order_list = "linear/forward reversed/forward snake/alternating linear/backward longest_first/forward head_major/forward"
order_of(i) = substr(word(order_list, i), 1, strstrt(word(order_list, i), "/") - 1)
kv_of(i) = substr(word(order_list, i), strstrt(word(order_list, i), "/") + 1, 99)
order_dash(i) = i % 2 ? 1 : 4
order_color(i) = word("#0072B2 #56B4E9 #009E73 #D55E00 #CC79A7 #222222", i)

set multiplot
@put_titles
set logscale x 2
set logscale y 10
set xrange [5:180]
set yrange [0.1:200]
set xtics ("8" 8, "16" 16, "32" 32, "50" 50, "100" 100)
set ytics ("100 MB" 0.1, "1 GB" 1, "10 GB" 10, "100 GB" 100)
set xlabel "L2, both sides together, MiB" offset 0,0.4
set tmargin at screen quad_top(0); set bmargin at screen quad_bottom(0)
set arrow 1 from 5,compulsory_gb to 180,compulsory_gb nohead dt 2 lw 1.5 lc rgb "#222222"
set label 11 "Q, K and V once" at 5.5,compulsory_gb offset 0,-0.7 font small
do for [causal = 0:1] {
    set lmargin at screen quad_left(causal); set rmargin at screen quad_right(causal)
    set title (causal ? "causal" : "no mask")
    plot for [i = 1:6] data."/l2size.csv" \
             using (@megabytes):(pick_order(causal, order_of(i), kv_of(i), @read_gb)) \
             with linespoints pt 7 ps 0.5*mark_scale lw 2 dt order_dash(i) lc rgb order_color(i)
    @end_titles
}
unset label 11

@legend_panel
plot NaN, for [i = 1:6] keyentry with linespoints lw 2 pt 7 ps 0.5*mark_scale dt order_dash(i) lc rgb order_color(i) \
         title "blocks ".order_of(i).", keys ".kv_of(i)
unset multiplot
