# What number formats cost, over sequence length: root mean square errors of executed algorithms, over seeds.
name = "deviation"
title_text = "Error of number formats against sequence length"
panel_height = 380
panel_rows = 1
legend_entries = '7'
note_text = "Executed: 128 queries of head_dim 64, no mask; median and 5 to 95 % of seeds."
can_be_measured = 0
load "notebooks_data/plots/style.gp"
source_text = "Executed by ".predicted_by."."

# Colour says the format; open marks and dashes what a plain program does with it.
shade(i) = word("#0072B2 #0072B2 #E69F00 #E69F00 #D55E00 #D55E00 #009E73", i)
mark(i) = int(word("4 5 4 5 6 7 9", i))
dash(i) = int(word("2 1 2 1 2 1 1", i))
array names[7] = ["fp16 standard", "fp16 flash3", "bf16 standard", "bf16 flash3", \
    "e4m3 flash3_fp8 (a scale a tensor)", "e4m3 flash3_fp8 (blocks and Hadamard)", "int8 int_flash"]
of(input, i, value) = strcol("input") eq input && strcol("method") eq names[i] ? value : NaN

set multiplot
@put_titles
set logscale xy
set xrange [420:10000]
set xtics @length_tics
set xlabel "N, keys" offset 0,0.4
set format y "%.0e"
set tmargin at screen quad_top(0); set bmargin at screen quad_bottom(0)
do for [part = 0:1] {
    input = part ? "outliers" : "normal"
    set lmargin at screen quad_left(part); set rmargin at screen quad_right(part)
    set ylabel part ? "" : "RMS error of O" offset 0.8,0
    set title part ? "N(0,1) + N(0,100) Bernoulli(0.001)" : "N(0,1)"
    set yrange [5e-6:6e-2]
    plot for [i = 1:7] data."/deviation.csv" using (column("seqlen_k")):(of(input, i, column("rms_error"))):(of(input, i, column("rms_error_p5"))):(of(input, i, column("rms_error_p95"))) \
             with yerrorlines lw 2 dt dash(i) pt mark(i) ps 1.0*mark_scale lc rgb shade(i)
    @end_titles
}

@legend_panel
plot NaN, \
     for [i = 1:7] keyentry with linespoints lw 2 dt dash(i) pt mark(i) ps 1.0*mark_scale lc rgb shade(i) title names[i]
unset multiplot
