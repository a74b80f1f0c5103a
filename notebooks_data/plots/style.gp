# Shared by every picture: terminal, colours, marks, and how rows are picked. Run from the top of the repository,
# through draw.sh, which sets the variables that are only defaults here. A picture sets name, title_text, note_text,
# panel_height, panel_rows and legend_entries (an expression: what its legend holds) before it loads this file.

if (!exists("format"))  format  = "svg"                # or "png"
if (!exists("data"))    data    = "build/report/data"  # CSV files: predictions, and measurements beside them
if (!exists("out"))     out     = "build/report"
if (!exists("kernels")) kernels = "00_standard 01_standard_cublas 10_flash1 20_flash2"
if (!exists("algorithms")) algorithms = "standard_tiled standard_tiled flash1 flash2" # of the kernels above
if (!exists("pairs"))   pairs   = "10_flash1/00_standard 10_flash1/01_standard_cublas 20_flash2/00_standard 20_flash2/01_standard_cublas"
if (!exists("peers"))   peers   = ""                   # of peers.csv
if (!exists("measured_on")) measured_on = ""           # GPU, driver, commit; empty: nothing is recorded
if (!exists("predicted_by")) predicted_by = "tilewise"

# Sizes of text and marks, which the two terminals understand differently.
big        = format eq "png" ? ",14" : ",20"
small      = format eq "png" ? ",7.5" : ",11"
mark_scale = format eq "png" ? 1.0 : 0.65

if (!exists("legend_columns")) legend_columns = 2
set macros

# --- text ----------------------------------------------------------------------------------------------------
recorded = strlen(measured_on) > 0
if (!exists("can_be_measured")) can_be_measured = 1
source_text = (recorded && can_be_measured ? "Points: measured on ".measured_on.".  " : "")."Lines: predicted by ".predicted_by."."
heading(text) = recorded || !can_be_measured ? text : text." (no measurements recorded)"
put_titles = 'set label 1 heading(title_text) at screen 0.02,1 offset 0,-1.3 font big; \
              set label 2 note_text at screen 0.02,1 offset 0,-2.9 textcolor "#444444"; \
              set label 3 source_text at screen 0.02,0 offset 0,0.8 font small textcolor "#666666"'
end_titles = 'unset label 1; unset label 2; unset label 3'

# --- colours and marks ---------------------------------------------------------------------------------------
# Okabe and Ito's palette, told apart with any kind of colour vision; one colour per algorithm, everywhere.
color(a) = a eq "standard" ? "#555555" : a eq "standard_tiled" ? "#D55E00" : a eq "flash1" ? "#E69F00" : \
           a eq "flash2" ? "#0072B2" : a eq "unfused" ? "#CC79A7" : a eq "sdpa-efficient" ? "#8A8A00" : \
           a eq "sdpa-flash2" ? "#56B4E9" : a eq "sdpa-cudnn" ? "#009E73" : a eq "flex" ? "#7A5195" : "#000000"
algorithm(i) = word(algorithms, i)
kernel(i) = word(kernels, i)
wgmma_before = sum [i=1:words(kernels)] (kernel(i)[1:1] eq "4" ? 0 : 1)
# Kernels of one algorithm are shades of its colour; flash2 has many, and flash3 is flash2 in another order.
family(a) = a[1:6] eq "flash2" || a[1:6] eq "flash3" ? "flash2" : a
nth_of_its_algorithm(i) = sum [j=1:i] (family(algorithm(j)) eq family(algorithm(i)) ? 1 : 0)
# Those on wgmma are purples.
kernel_color(i) = family(algorithm(i)) ne "flash2" ? color(algorithm(i)) : \
                  kernel(i)[1:1] eq "4" ? word("#C9A6E4 #B98AD8 #A56BC9 #9150B8 #7B3AA3 #652A8A #50206F #3A1053", i - wgmma_before + 0) : \
                  word("#0072B2 #7DBFE8 #A08AD0 #6A51A3 #08205C", (nth_of_its_algorithm(i) - 1) % 5 + 1)
# One mark and one dash per kernel, so that kernels of one algorithm differ without a second colour. The first mark
# is larger and open: where two kernels fall on one point, both are seen.
mark_of(i) = int(word("4 7 9 13 11 15 5 7 6 8 10 12 14 4 11 13", i))
size_of(i) = (i == 1 ? 1.5 : 0.9) * mark_scale
peer_size = 0.9 * mark_scale
dash_of(i) = int(word("2 1 2 1 3 4 5 2 3 4 5 2 3 4 5 1", i)) # drawn last to first: a dashed line lies on a solid one
peer_mark(i) = int(word("1 2 3 6 8 10", i))
peer_name(p) = p eq "unfused" ? "PyTorch, unfused" : p eq "sdpa-efficient" ? "PyTorch, memory-efficient" : \
               p eq "sdpa-flash2" ? "PyTorch, FlashAttention-2" : p eq "sdpa-cudnn" ? "PyTorch, cuDNN" : \
               p eq "flex" ? "PyTorch, FlexAttention" : p

# --- data ----------------------------------------------------------------------------------------------------
set datafile separator comma
set datafile columnheaders
set datafile missing NaN # a row that is not picked is skipped, and the line goes on
# Rows of one kernel, head_dim and mask.
pick(k, d, c, value) = strcol("kernel") eq k && column("head_dim") == d && column("causal") == c ? value : NaN
pick_peer(p, d, c, value) = strcol("peer") eq p && column("d") == d && column("causal") == c ? value : NaN
length_tics = '("512" 512, "1k" 1024, "2k" 2048, "4k" 4096, "8k" 8192, "16k" 16384)'

legend_height = 24 * int((@legend_entries + legend_columns - 1) / legend_columns) + 8
height = 108 + panel_rows * panel_height + (panel_rows - 1) * 68 + 60 + legend_height + 34

# --- page ----------------------------------------------------------------------------------------------------
width = 1000 # of the SVG, as `height`; the PNG has 1.6 times as many dots
if (format eq "png") {
    set terminal pngcairo noenhanced size 1.6*width,1.6*height font "DejaVu Sans,10" fontscale 1.75 linewidth 1.6 pointscale 1.6
} else {
    set terminal svg noenhanced size width,height font "DejaVu Sans,Verdana,Helvetica,sans-serif,14" background "white" linewidth 1.2
}
set encoding utf8
set output out."/".name.".".format
set border 3 linecolor "#444444"
set tics nomirror textcolor "#222222"
set grid linecolor "#dddddd" linetype 1 linewidth 0.6
set key noautotitle
set title offset 0,-0.5

# Panels are placed in pixels from the top left: panel(x0, x1, y0, y1).
at_x(px) = px / (1.0 * width)
at_y(px) = 1 - px / (1.0 * height)
# Four panels: columns 0 and 1, rows 0 and 1, each panel_height high.
quad_left(col)     = at_x(85 + 485 * col)
quad_right(col)    = at_x(495 + 485 * col)
quad_top(row)      = at_y(108 + (panel_height + 68) * row)
quad_bottom(row)   = at_y(108 + (panel_height + 68) * row + panel_height)

# The legend is a panel of its own, legend_height above the source line.
legend_panel = 'unset title; unset xlabel; unset ylabel; unset border; unset tics; unset grid; unset logscale; unset arrow; \
    set xrange [0:1]; set yrange [0:1]; \
    set lmargin at screen 0.02; set rmargin at screen 0.98; \
    set tmargin at screen (legend_height + 34.0) / height; set bmargin at screen 34.0 / height; \
    set key at screen 0.5,(legend_height + 34.0) / height center top horizontal Left reverse maxcols legend_columns samplen 3 \
        spacing 1.15 width 1'
