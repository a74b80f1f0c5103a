# Traffic against sequence length: what crosses the border of the SMs, and what crosses that of HBM.
if (!exists("causal")) causal = 0
name = causal ? "traffic_causal" : "traffic"
title_text = "Bytes moved by one attention forward".(causal ? ", causal" : "")
panel_height = 230
panel_rows = 2
legend_entries = 'words(kernels) + 1'
note_text = "fp16, 16k tokens in all (batch = 16k / N), heads × head_dim = 2048."
load "notebooks_data/plots/style.gp"

gigabytes(which, level) = (column(which.(level ? "_hbm_read_bytes" : "_fill_bytes")) \
                           + column(which.(level ? "_hbm_write_bytes" : "_drain_bytes"))) / 1e9

set multiplot
@put_titles
set logscale x 2
set logscale y 10
set xrange [420:20000]
set yrange [0.1:400]
set xtics @length_tics
set format y "%g"

do for [row = 0:1] {
    d = row == 0 ? 64 : 128
    do for [level = 0:1] {
        set lmargin at screen quad_left(level); set rmargin at screen quad_right(level)
        set tmargin at screen quad_top(row);    set bmargin at screen quad_bottom(row)
        set title (level == 0 ? "SRAM: fill + drain" : "HBM: read + written (line: all that must move, once)")
        set ylabel (level == 0 ? "GB, head_dim ".d : "") offset 0.8,0
        set xlabel (row == 1 ? "sequence length N" : "") offset 0,0.4
        plot for [i = words(kernels):1:-1] data."/grid.csv" \
                 using (pick(kernel(i), d, causal, column("seqlen_k"))):(gigabytes("predicted", level)) \
                 with lines lw 2 dt dash_of(i) lc rgb kernel_color(i), \
             data."/textbook.csv" \
                 using (pick("textbook", d, causal, column("seqlen_k"))):(gigabytes("predicted", level)) \
                 with lines lw 2 dt 3 lc rgb color("standard"), \
             for [i = 1:recorded*words(kernels)] data."/grid.csv" \
                 using (pick(kernel(i), d, causal, column("seqlen_k"))):(gigabytes("measured", level)) \
                 with points pt mark_of(i) ps size_of(i) lc rgb kernel_color(i)
        @end_titles
    }
}

@legend_panel
plot NaN, for [i = 1:words(kernels)] keyentry with linespoints lw 2 dt dash_of(i) pt mark_of(i) ps size_of(i) \
         lc rgb kernel_color(i) title kernel(i)." (".algorithm(i).")", \
     keyentry with lines lw 2 dt 3 lc rgb color("standard") title "standard (textbook ledger, predicted)"
unset multiplot
