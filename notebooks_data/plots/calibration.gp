# What `tilewise-gpu calibrate --plots FOLDER` found: hits and bandwidth of the L2, softmax steps, copies, the clock.
# Drawn by calibration.sh; a panel whose CSV file has no rows (this GPU does not have that) stays empty and says so.
name = "calibration"
if (!exists("title_text")) title_text = "Calibration"
panel_height = 300
panel_rows = 3
legend_entries = '7'
legend_columns = 4
can_be_measured = 1
if (!exists("note_text")) note_text = ""
predicted_by = "nobody"
load "notebooks_data/plots/style.gp"
source_text = "Measured on ".measured_on."."

MIB = 1048576.0
orders = "forward backward alternating random"
order_color(i) = word("#0072B2 #56B4E9 #D55E00 #009E73", i)
group_color(w) = word("#E69F00 #CC79A7 #555555", w)
clock_color = "#0072B2"
dash(busy) = busy + 1
mark(busy) = busy ? 6 : 7
pick_curve(access, order, value) = strcol("access") eq access && strcol("order") eq order ? value : NaN
file(which) = data."/".which.".csv"
rows_in(which) = int(system("grep -cv '^#' '".file(which)."' 2>/dev/null || true")) - 1
empty(which) = rows_in(which) < 1
panel(col, row) = sprintf("set lmargin at screen %f; set rmargin at screen %f; set tmargin at screen %f; set bmargin at screen %f", \
                          quad_left(col), quad_right(col), quad_top(row), quad_bottom(row))
say_empty = 'set label 9 "not measured on this GPU" at graph 0.5,0.5 center'

set multiplot
@put_titles
set xtics autofreq

# --- hits: each line read by SMs of both sides, and by one SM -------------------------------------------------
do for [col = 0:1] {
    access = col == 0 ? "shared" : "private"
    eval panel(col, 0)
    set title (col == 0 ? "from HBM: lines that SMs of both sides read" : "from HBM: lines that one SM reads")
    unset xlabel # that of the row below
    set ylabel (col == 0 ? "share of lines" : "") offset 0.8,0
    set yrange [-0.03:1.06]
    set xrange [0:*]
    if (empty("l2_hits")) {
        @say_empty
        set xrange [0:1]
        plot NaN
    } else {
        plot for [i = 1:words(orders)] file("l2_hits") \
             using (pick_curve(access, word(orders, i), column("working_set_bytes") / MIB)):(column("hbm")) \
             with linespoints lw 2 pt mark_of(i) ps size_of(i) lc rgb order_color(i)
    }
    unset label 9
    @end_titles
}

# --- bandwidth of the L2 -----------------------------------------------------------------------------------------
do for [col = 0:1] {
    access = col == 0 ? "shared" : "private"
    eval panel(col, 1)
    set title (col == 0 ? "into the SMs: all read the same" : "into the SMs: each reads its own")
    set xlabel "working set, MiB" offset 0,0.4
    set ylabel (col == 0 ? "TB/s" : "") offset 0.8,0
    set yrange [0:*]
    set xrange [0:*]
    if (empty("l2_rate")) {
        @say_empty
        set xrange [0:1]
        set yrange [0:1]
        plot NaN
    } else {
        plot for [i = 1:words(orders)] file("l2_rate") \
             using (pick_curve(access, word(orders, i), column("working_set_bytes") / MIB)):(column("bytes_per_s") / 1e12) \
             with linespoints lw 2 pt mark_of(i) ps size_of(i) lc rgb order_color(i)
    }
    unset label 9
}

# --- a softmax step, and the clock -------------------------------------------------------------------------------
eval panel(0, 2)
set title "a softmax step of 64 rows; open: beside wgmma"
set xlabel "keys" offset 0,0.4
set ylabel "cycles" offset 0.8,0
set yrange [0:*]
set xrange [0:200]
if (empty("softmax")) {
    @say_empty
    set yrange [0:1]
    plot NaN
} else {
    plot for [w = 1:3] for [busy = 0:1] file("softmax") \
         using (column("warpgroups") == w && column("tensor_busy") == busy ? column("keys") : NaN):(column("step_cycles")) \
         with linespoints lw 2 dt dash(busy) pt mark(busy) ps 1.1*mark_scale lc rgb group_color(w)
}
unset label 9

eval panel(1, 2)
set title "clock against load of the tensor cores"
set xlabel "share of wgmma's rate" offset 0,0.4
set ylabel "GHz" offset 0.8,0
set yrange [0:*]
set xrange [0:1.05]
if (empty("clock")) {
    @say_empty
    set yrange [0:1]
    plot NaN
} else {
    plot file("clock") using (column("tensor_share")):(column("clock_hz") / 1e9) with linespoints lw 2 pt 7 \
         ps 1.1*mark_scale lc rgb clock_color
}
unset label 9

@legend_panel
plot NaN, for [i = 1:words(orders)] keyentry with linespoints lw 2 pt mark_of(i) ps size_of(i) lc rgb order_color(i) \
         title word(orders, i), \
     for [w = 1:3] keyentry with linespoints lw 2 pt 7 ps 1.1*mark_scale lc rgb group_color(w) \
         title sprintf("%d warpgroup%s in softmax", w, w == 1 ? "" : "s")
unset multiplot
