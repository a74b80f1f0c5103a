# Predicted against measured HBM bytes: what lies on the line is right.
name = "accuracy"
title_text = "HBM bytes: predicted by a replay through the L2, and measured"
panel_height = 300
panel_rows = 2
legend_entries = 'words(kernels) + 2'
note_text = "Every row of counters.csv and l2_kernels.csv above 5 MB. Grey: 5 % either way."
load "notebooks_data/plots/style.gp"
source_text = recorded ? "Measured on ".measured_on.".  Predicted by ".predicted_by."." : source_text

mb(what) = column(what) / 1e6
shown(p, m) = row ? 100 * (p / m - 1) : p # above the prediction, below its error
pick_kernel(k, value) = strcol("kernel") eq k ? value : NaN

set multiplot
@put_titles
set logscale x
do for [row = 0:1] {
    do for [part = 0:1] {
        what = part ? "write" : "read"
        measured = "measured_hbm_".what."_bytes"
        predicted = "predicted_l2_hbm_".what."_bytes"
        set lmargin at screen quad_left(part); set rmargin at screen quad_right(part)
        set tmargin at screen quad_top(row);   set bmargin at screen quad_bottom(row)
        set title "HBM ".what."s".(row ? ": predicted / measured - 1" : "")
        set xlabel (row ? "measured, MB" : "") offset 0,0.4
        set ylabel (part || row ? "" : "predicted, MB") offset 0.6,0
        set xrange [5:50000]
        set format x "%g"
        eval row ? "unset logscale y" : "set logscale y"
        set yrange [(row ? -100 : 5):(row ? 60 : 50000)]
        set format y (row ? "%+g%%" : "%g")
        plot "+" using (x = 5 * 1e4**($0 / 100.0), x):(shown(0.95 * x, x)):(shown(1.05 * x, x)) \
                 with filledcurves lc rgb "#dddddd", \
             "+" using (x = 5 * 1e4**($0 / 100.0), x):(shown(x, x)) with lines lw 1 lc rgb "#222222", \
             data."/l2_kernels.csv" using (mb(measured)):(shown(mb(predicted), mb(measured))) \
                 with points pt 1 ps 0.9*mark_scale lc rgb "#888888", \
             for [i = 1:recorded*words(kernels)] data."/all.csv" \
                 using (mb(measured)):(pick_kernel(kernel(i), shown(mb(predicted), mb(measured)))) \
                 with points pt mark_of(i) ps size_of(i) lc rgb kernel_color(i)
        @end_titles
    }
}

@legend_panel
plot NaN, for [i = 1:words(kernels)] keyentry with points pt mark_of(i) ps size_of(i) lc rgb kernel_color(i) title kernel(i), \
     keyentry with points pt 1 ps 0.9*mark_scale lc rgb "#999999" title "kernels of l2_kernels.csv", \
     keyentry with lines lw 1 lc rgb "#222222" title "predicted = measured"
unset multiplot
