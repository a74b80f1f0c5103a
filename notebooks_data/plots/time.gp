# Predicted against measured time: what lies on the line is right.
name = "time"
title_text = "Time: predicted by the clock, and measured"
panel_height = 330
panel_rows = 2
groups = "standard FMA mma.sync wgmma libraries"
legend_entries = 'words(groups) + 1'
legend_columns = 3
note_text = "Every row of bench.csv, ladder.csv and library.csv. Grey: 5 % either way."
load "notebooks_data/plots/style.gp"
source_text = recorded ? "Measured on ".measured_on.".  Predicted by ".predicted_by."." : source_text

group(k) = k[1:1] eq "0" ? 1 : k[1:1] eq "1" || k[1:2] eq "20" ? 2 : k[1:1] eq "2" || k[1:1] eq "3" ? 3 : \
           k[1:1] eq "4" ? 4 : 5
group_color(i) = word("#D55E00 #E69F00 #0072B2 #6A51A3 #777777", i)
group_mark(i) = int(word("4 7 9 13 1", i))
group_name(i) = word("standard:_00,_01 plain_FMA:_10,_20 mma.sync:_25_to_30 wgmma:_40_to_45 libraries:_FA2,_FA3,_cuDNN,_Flex", i)
words_of(text) = (at = strstrt(text, "_"), at == 0 ? text : words_of(text[1:at - 1]." ".text[at + 1:strlen(text)]))
ms(what) = column(what) / 1e3
shown(p, m) = row ? 100 * (p / m - 1) : p # above the prediction, below its error
pick_group(i, c, value) = group(strcol("kernel")) == i && column("causal") == c ? value : NaN

set multiplot
@put_titles
set logscale x
do for [row = 0:1] {
    do for [part = 0:1] {
        set lmargin at screen quad_left(part); set rmargin at screen quad_right(part)
        set tmargin at screen quad_top(row);   set bmargin at screen quad_bottom(row)
        set title (part ? "causal" : "no mask").(row ? ": predicted / measured - 1" : "")
        set xlabel (row ? "measured, ms" : "") offset 0,0.4
        set ylabel (part || row ? "" : "predicted, ms") offset 0.6,0
        set xrange [0.05:200]
        set format x "%g"
        eval row ? "unset logscale y" : "set logscale y"
        set yrange [(row ? -35  : 0.05):(row ? 35 : 200)]
        set format y (row ? "%+g%%" : "%g")
        plot "+" using (x = 0.05 * 4e3**($0 / 100.0), x):(shown(0.95 * x, x)):(shown(1.05 * x, x)) \
                 with filledcurves lc rgb "#dddddd", \
             "+" using (x = 0.05 * 4e3**($0 / 100.0), x):(shown(x, x)) with lines lw 1 lc rgb "#222222", \
             for [i = words(groups):1:-1] recorded ? data."/time.csv" : NaN \
                 using (ms("measured_time_us")):(pick_group(i, part, shown(ms("predicted_time_us"), ms("measured_time_us")))) \
                 with points pt group_mark(i) ps 0.9*mark_scale lc rgb group_color(i)
        @end_titles
    }
}

@legend_panel
plot NaN, for [i = 1:words(groups)] keyentry with points pt group_mark(i) ps 0.9*mark_scale lc rgb group_color(i) \
         title words_of(group_name(i)), \
     keyentry with lines lw 1 lc rgb "#222222" title "predicted = measured"
unset multiplot
