# Time of one query against the number of splits of its keys: Flash-Decoding, and LeanAttention beside it.
name = "decode"
title_text = "Decoding: the keys in splits"
panel_height = 360
panel_rows = 1
legend_entries = '3'
note_text = "bf16, one query, 32 heads on 8 of K and V, head_dim 128. Predicted for an H100 by the clock, for kernels that nobody built."
can_be_measured = 0
load "notebooks_data/plots/style.gp"

lengths = "1024 4096 16384 65536"
batches = "1 4 16 64"
length_name(i) = word("1k 4k 16k 64k", i)
shade(i) = word("#7DBFE8 #0072B2 #6A51A3 #08205C", i)
us = 'column("predicted_time_us")'
picked(how, batch, keys, value) = strcol("how") eq how && column("batch") == batch && column("seqlen_k") == keys ? value : NaN

set multiplot
@put_titles
set logscale x 2
set logscale y 10
set xrange [0.8:180]
set xtics ("1" 1, "2" 2, "4" 4, "8" 8, "16" 16, "32" 32, "64" 64, "128" 128)
set xlabel "splits" offset 0,0.4
set format y "%g"
set yrange [5:4000]
set ylabel "µs" offset 0.8,0
set tmargin at screen quad_top(0); set bmargin at screen quad_bottom(0)
do for [part = 0:1] {
    set lmargin at screen quad_left(part); set rmargin at screen quad_right(part)
    set title part ? "4k keys, 1, 4, 16 and 64 sequences" : "one sequence, 1k, 4k, 16k and 64k keys"
    b(i) = part ? int(word(batches, i)) : 1
    n(i) = part ? 4096 : int(word(lengths, i))
    do for [i = 1:4] {
        stats data."/decode.csv" using (picked("shares", b(i), n(i), @us)) name "LEAN" nooutput
        stats data."/decode.csv" using (picked("given", b(i), n(i), column("num_splits") == 1 ? @us : NaN)) name "ONE" nooutput
        set arrow i from 0.8,LEAN_min to 180,LEAN_min nohead dt 2 lw 1 lc rgb shade(i)
        which = part ? word(batches, i) : length_name(i)
        stats data."/decode.csv" using (picked("given", b(i), n(i), column("num_splits") == 128 ? @us : NaN)) name "MANY" nooutput
        set label 10+i which at (part ? 140 : 0.84),(part ? MANY_min * (i == 1 ? 0.8 : 1.1) : ONE_min * 1.35) font small textcolor rgb shade(i)
    }
    plot for [i = 1:4] data."/decode.csv" using (column("num_splits")):(picked("given", b(i), n(i), @us)) \
             with linespoints lw 2 pt 7 ps 0.6*mark_scale lc rgb shade(i), \
         for [i = 1:4] data."/decode.csv" using (column("num_splits")):(picked("own", b(i), n(i), @us)) \
             with points pt 6 lw 2 ps 2*mark_scale lc rgb shade(i)
    @end_titles
}
unset arrow
do for [i = 11:14] { unset label i }

@legend_panel
plot NaN, keyentry with linespoints lw 2 pt 7 ps 0.6*mark_scale lc rgb "#0072B2" title "Flash-Decoding, splits given", \
     keyentry with points pt 6 lw 2 ps 2*mark_scale lc rgb "#0072B2" title "splits that fill the SMs", \
     keyentry with lines lw 1 dt 2 lc rgb "#0072B2" title "LeanAttention, equal shares"
unset multiplot
