# Speedup of the tiled algorithms over the standard one: what the roofline predicts, what was measured.
name = "speedup"
title_text = "Speedup of tiled over standard attention"
panel_height = 230
panel_rows = 2
legend_entries = 'words(pairs)'
note_text = "Time of a standard kernel over time of a tiled one, same shape.  Predicted times are rooflines."
load "notebooks_data/plots/style.gp"

# speedup.csv: kernel over baseline; a pair is "kernel/baseline". Open marks and dashes: over the plain baseline.
left_of(pair) = substr(pair, 1, strstrt(pair, "/") - 1)
right_of(pair) = substr(pair, strstrt(pair, "/") + 1, strlen(pair))
place_of(k) = (sum [i = 1:words(kernels)] (kernel(i) eq k ? i : 0))
over_plain(pair) = right_of(pair) eq "00_standard"
pick_pair(pair, d, c, value) = strcol("baseline") eq right_of(pair) ? pick(left_of(pair), d, c, value) : NaN
pair_color(pair) = kernel_color(place_of(left_of(pair)))
pair_mark(pair) = mark_of(place_of(left_of(pair))) - over_plain(pair)
pair_dash(pair) = over_plain(pair) ? 2 : 1
# The first kernel's line is thin and lies on the others.
pair_width(pair) = left_of(pair) eq left_of(word(pairs, 1)) ? 1.4 : 3.2

set multiplot
@put_titles
set logscale x 2
set logscale y 10
set xrange [420:20000]
set yrange [0.01:100]
set xtics @length_tics
set format y "%g×"
set arrow 1 from 420,1 to 20000,1 nohead lc rgb "#444444" lw 1

do for [row = 0:1] {
    d = row == 0 ? 64 : 128
    do for [causal = 0:1] {
        set lmargin at screen quad_left(causal); set rmargin at screen quad_right(causal)
        set tmargin at screen quad_top(row);     set bmargin at screen quad_bottom(row)
        set title "head_dim ".d.(causal ? ", causal" : ", not causal")
        set ylabel (causal ? "" : "speedup") offset 0.8,0
        set xlabel (row == 1 ? "sequence length N" : "") offset 0,0.4
        plot for [i = words(pairs):1:-1] data."/speedup.csv" \
                 using (pick_pair(word(pairs, i), d, causal, column("seqlen_k"))):(column("predicted_speedup")) \
                 with lines lw pair_width(word(pairs, i)) dt pair_dash(word(pairs, i)) lc rgb pair_color(word(pairs, i)), \
             for [i = 1:recorded*words(pairs)] data."/speedup.csv" \
                 using (pick_pair(word(pairs, i), d, causal, column("seqlen_k"))):(column("measured_speedup")) \
                 with points pt pair_mark(word(pairs, i)) ps 1.1 * mark_scale lc rgb pair_color(word(pairs, i))
        @end_titles
    }
}

@legend_panel
plot NaN, for [pair in pairs] keyentry with linespoints lw pair_width(pair) dt pair_dash(pair) pt pair_mark(pair) \
         ps 1.1 * mark_scale lc rgb pair_color(pair) title left_of(pair)." over ".right_of(pair)
unset multiplot
