# What limits, by sequence length and head_dim: one cell a shape.
name = "limiter"
title_text = "What limits attention"
panel_height = 200
panel_rows = 2
can_be_measured = 0
limits = "HBM|L2|shared memory|tensor cores|CUDA cores|FMA|latency|launch"
legend_entries = '8'
legend_columns = 4
note_text = "16k tokens, 16 heads, fp16, no mask; tiles as each algorithm chooses them."
load "notebooks_data/plots/style.gp"
source_text = "Predicted by ".predicted_by."."

shown_algorithms = "standard_tiled flash1 flash2 flash3"
limit_color(l) = l eq "HBM" ? 0xD55E00 : l eq "L2" ? 0xE69F00 : l eq "shared memory" ? 0xF0E442 : \
    l eq "tensor cores" ? 0x0072B2 : l eq "CUDA cores" ? 0x56B4E9 : l eq "FMA" ? 0x009E73 : \
    l eq "latency" ? 0xBBBBBB : l eq "launch" ? 0x777777 : 0x000000
nth(text, i) = (at = strstrt(text, "|"), i == 1 ? (at ? text[1:at - 1] : text) : nth(text[at + 1:strlen(text)], i - 1))
row_of(d) = d == 32 ? 0 : d == 64 ? 1 : d == 96 ? 2 : d == 128 ? 3 : d == 192 ? 4 : 5
column_of(n) = log(n / 128.0) / log(2)
is(a) = strcol("algorithm") eq a

set multiplot
@put_titles
unset grid
set style fill solid 1.0 noborder
do for [i = 1:4] {
    col = (i - 1) % 2; row = (i - 1) / 2
    set lmargin at screen quad_left(col); set rmargin at screen quad_right(col)
    set tmargin at screen quad_top(row);  set bmargin at screen quad_bottom(row)
    set title word(shown_algorithms, i)
    set xrange [-0.5:7.5]; set yrange [-0.5:5.5]
    set xtics ("128" 0, "256" 1, "512" 2, "1k" 3, "2k" 4, "4k" 5, "8k" 6, "16k" 7)
    set ytics ("32" 0, "64" 1, "96" 2, "128" 3, "192" 4, "256" 5)
    set xlabel (row ? "N" : "") offset 0,0.4
    set ylabel (col ? "" : "head_dim") offset -0.4,0
    plot data."/limiter.csv" using (is(word(shown_algorithms, i)) ? column_of(column("seqlen_k")) : NaN): \
             (row_of(column("head_dim"))):(0.47):(0.46):(limit_color(strcol("limiter"))) with boxxyerror lc rgb variable
    @end_titles
}

@legend_panel
plot NaN, for [i = 1:8] keyentry with boxes fs solid lc rgb limit_color(nth(limits, i)) title nth(limits, i)
unset multiplot
