# Speedup of the tiled algorithms over the standard one: what the roofline predicts, what was measured.
name = "speedup"
title_text = "How much faster tiled attention is than standard attention"
panel_height = 230
legend_height = 2 * 28 + 8
height = 108 + 2 * panel_height + 68 + 60 + legend_height + 34
note_text = "Time of a standard kernel over time of a tiled one, same shape.  Predicted times are rooflines."
load "notebooks_data/plots/style.gp"

# speedup.csv: kernel over baseline, each a kernel's name.
tiled_kernels = "10_flash1 20_flash2"
reversed = "20_flash2 10_flash1" # the thin line lies on the thick one
pair_width(k) = k eq "10_flash1" ? 1.4 : 3.2
baselines = "00_standard 01_standard_cublas"
pick_pair(k, b, d, c, value) = strcol("baseline") eq b ? pick(k, d, c, value) : NaN
tiled_color(k) = k eq "10_flash1" ? color("flash1") : color("flash2")
pair_mark(k, b) = (k eq "10_flash1" ? 8 : 12) + b # open over the first baseline, filled over the second
pairs_dash(b) = b == 0 ? 2 : 1

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
        plot for [k in reversed] for [b = 1:0:-1] data."/speedup.csv" \
                 using (pick_pair(k, word(baselines, b + 1), d, causal, column("seqlen_k"))):(column("predicted_speedup")) \
                 with lines lw pair_width(k) dt pairs_dash(b) lc rgb tiled_color(k), \
             for [k in tiled_kernels] for [b = 0:2*recorded-1] data."/speedup.csv" \
                 using (pick_pair(k, word(baselines, b + 1), d, causal, column("seqlen_k"))):(column("measured_speedup")) \
                 with points pt pair_mark(k, b) ps 1.1 * mark_scale lc rgb tiled_color(k)
        @end_titles
    }
}

@legend_panel
plot NaN, for [k in tiled_kernels] for [b = 0:1] keyentry with linespoints lw pair_width(k) dt pairs_dash(b) pt pair_mark(k, b) \
         ps 1.1 * mark_scale lc rgb tiled_color(k) title k." over ".word(baselines, b + 1)
unset multiplot
