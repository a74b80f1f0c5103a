# Speedup of the tiled algorithms over the standard one: what the roofline predicts, what was measured.
name = "speedup"
title_text = "Speedup of tiled over standard attention"
panel_height = 230
legend_height = 2 * 28 + 8
height = 108 + 2 * panel_height + 68 + 60 + legend_height + 34
note_text = "Time of a standard kernel over time of a tiled one, same shape.  Predicted times are rooflines."
load "notebooks_data/plots/style.gp"

# speedup.csv: kernel over baseline, each a kernel's name. Open marks and dashes: over the plain baseline.
baselines = "00_standard 01_standard_cublas"
tiled = "" # places of the tiled kernels in `kernels`; the first is drawn last, as a thin line on the others
reversed = ""
do for [i = 1:words(kernels)] {
    if (algorithm(i) ne "standard_tiled") {
        tiled = sprintf("%s %d", tiled, i)
        reversed = sprintf("%d %s", i, reversed)
    }
}
pick_pair(t, b, d, c, value) = strcol("baseline") eq word(baselines, b + 1) ? pick(kernel(int(t)), d, c, value) : NaN
pair_color(t) = kernel_color(int(t))
pair_mark(t, b) = mark_of(int(t)) - 1 + b
pair_width(t) = t eq word(tiled, 1) ? 1.4 : 3.2
pair_dash(b) = b == 0 ? 2 : 1

set multiplot
@put_titles
set logscale x 2
set logscale y 10
set xrange [420:20000]
set yrange [0.01:20]
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
        plot for [t in reversed] for [b = 1:0:-1] data."/speedup.csv" \
                 using (pick_pair(t, b, d, causal, column("seqlen_k"))):(column("predicted_speedup")) \
                 with lines lw pair_width(t) dt pair_dash(b) lc rgb pair_color(t), \
             for [t in tiled] for [b = 0:2*recorded-1] data."/speedup.csv" \
                 using (pick_pair(t, b, d, causal, column("seqlen_k"))):(column("measured_speedup")) \
                 with points pt pair_mark(t, b) ps 1.1 * mark_scale lc rgb pair_color(t)
        @end_titles
    }
}

@legend_panel
plot NaN, for [t in tiled] for [b = 0:1] keyentry with linespoints lw pair_width(t) dt pair_dash(b) pt pair_mark(t, b) \
         ps 1.1 * mark_scale lc rgb pair_color(t) title kernel(int(t))." over ".word(baselines, b + 1)
unset multiplot
