# Runtime against sequence length: the roofline prediction of every kernel, its measurement, and the peers'.
name = "runtime"
title_text = "Time of one attention forward"
panel_height = 230
legend_height = 4 * 28 + 8
height = 108 + 2 * panel_height + 68 + 60 + legend_height + 34
note_text = "fp16, 16k tokens in all (batch = 16k / N), heads × head_dim = 2048.  Lines: rooflines, launch by launch."
load "notebooks_data/plots/style.gp"

set multiplot
@put_titles
set logscale x 2
set logscale y 10
set xrange [420:20000]
set yrange [0.05:2000]
set xtics @length_tics
set format y "%g"

do for [row = 0:1] {
    d = row == 0 ? 64 : 128
    do for [causal = 0:1] {
        set lmargin at screen quad_left(causal); set rmargin at screen quad_right(causal)
        set tmargin at screen quad_top(row);     set bmargin at screen quad_bottom(row)
        set title "head_dim ".d.(causal ? ", causal" : ", not causal")
        set ylabel (causal ? "" : "ms") offset 0.8,0
        set xlabel (row == 1 ? "sequence length N" : "") offset 0,0.4
        plot for [i = words(kernels):1:-1] data."/grid.csv" \
                 using (pick(kernel(i), d, causal, column("seqlen_k"))):(column("predicted_time_us")/1e3) \
                 with lines lw 2 dt dash_of(i) lc rgb kernel_color(i), \
             for [i = 1:words(peers)] data."/peers.csv" \
                 using (pick_peer(word(peers, i), d, causal, column("sk"))):(column("ms")) \
                 with points pt peer_mark(i) ps peer_size lw 1.5 lc rgb color(word(peers, i)), \
             for [i = 1:recorded*words(kernels)] data."/grid.csv" \
                 using (pick(kernel(i), d, causal, column("seqlen_k"))):(column("measured_time_us")/1e3) \
                 with points pt mark_of(i) ps size_of(i) lc rgb kernel_color(i)
        @end_titles
    }
}

@legend_panel
plot NaN, for [i = 1:words(kernels)] keyentry with linespoints lw 2 dt dash_of(i) pt mark_of(i) ps size_of(i) \
         lc rgb kernel_color(i) title kernel(i)." (".algorithm(i).")", \
     for [i = 1:words(peers)] keyentry with points pt peer_mark(i) ps peer_size lw 1.5 lc rgb color(word(peers, i)) \
         title peer_name(word(peers, i))
unset multiplot
