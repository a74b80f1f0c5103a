# Pictures and the report: predictions are made when they are drawn, measurements are read from CSV files.

ifeq ($(GPU),1)
measured_dir := $(build)/gpu
else
measured_dir := notebooks_data/h100
endif
plots_dir := notebooks_data/plots

$(build)/plot_data: $(build)/obj/notebooks_data/plots/plot_data.o $(build)/libtilewise_sim.a $(build)/libtilewise_ref.a
	$(CC) $(tw_cflags) $(CFLAGS) $(LDFLAGS) $^ -o $@ -linih $(tw_ldlibs)

# Tables in Markdown files, from recorded CSV files.
table_objects := $(patsubst %.c,$(build)/obj/%.o,$(wildcard notebooks_data/tables/*.c))
$(build)/tables: $(table_objects) $(build)/libtilewise_sim.a $(build)/libtilewise_ref.a
	$(CC) $(tw_cflags) $(CFLAGS) $(LDFLAGS) $^ -o $@ -linih $(tw_ldlibs)

.PHONY: tables
tables: $(build)/tables ## writes the tables of README.md and docs/theory/ladder.md anew, from notebooks_data/h100/
	$(build)/tables story docs/theory/ladder.md notebooks_data/h100/bench.csv notebooks_data/h100/counters.csv
	@if [ -s notebooks_data/h100/ladder.csv ]; then \
	    $(build)/tables ladder README.md notebooks_data/h100/ladder.csv notebooks_data/h100/counters.csv; \
	    else echo "left out: the table of README.md, because make ladder was not run"; fi

# What papers print beside what is recomputed, predicted or measured here; every row's command is run.
ledger_rows    := $(wildcard notebooks_data/ledger/*.ini)
ledger_objects := $(patsubst %.c,$(build)/obj/%.o,$(wildcard notebooks_data/ledger/*.c)) $(build)/obj/notebooks_data/tables/markers.o
$(build)/ledger: $(ledger_objects) $(build)/libtilewise_sim.a $(build)/libtilewise_ref.a
	$(CC) $(tw_cflags) $(CFLAGS) $(LDFLAGS) $^ -o $@ -linih $(tw_ldlibs)

.PHONY: ledger
ledger: $(build)/ledger $(build)/tilewise ## writes docs/ledger.md anew: printed values of papers beside ours, a verdict on each
	$(build)/ledger docs/ledger.md docs/ledger.md $(ledger_rows)

.PHONY: report plots report-files plot-files plot-csv gpu-measurements predictions
plot-csv: $(build)/tilewise $(build)/plot_data
	@$(plots_dir)/make_data.sh $(measured_dir) $(build)/report/data

plots: ## the pictures alone: build/report/*.svg and *.png
	@$(deps) plots || true
	@+DEPS=no $(submake) $(with_openmp) plot-files

plot-files: plot-csv
	@if $(have) gnuplot; then $(plots_dir)/draw.sh $(build)/report/data $(build)/report; \
	    else echo "left out: the pictures, because gnuplot is missing"; rm -f $(build)/report/*.svg $(build)/report/*.png; fi

report: ## simulate, compare with the recorded measurements (GPU=1: measure here), write build/report/index.html
	@$(deps) report || true
	@$(have) cc popt inih || { echo "report: nothing can be simulated without a C compiler, popt and inih"; exit 1; }
	@+$(if $(filter 1,$(GPU)),DEPS=no $(submake) $(with_openmp) gpu-measurements)
	@+DEPS=no $(submake) $(with_openmp) report-files

# Without permission to read counters there is still a report, of times alone.
gpu-measurements: bench
	@+$(submake) counters || { rm -f $(build)/gpu/counters.csv; echo "left out: counters.csv, see above"; }

report-files: plot-files
	@$(plots_dir)/report.sh $(measured_dir) $(build)/report

# Written before a measurement and committed before it: a prediction made afterwards proves nothing.
.PHONY: predictions
evidence_cases := notebooks_data/cases/evidence.txt notebooks_data/cases/libraries.txt
predictions: $(build)/tilewise ## HBM traffic and time of the evidence sets, as notebooks_data/predictions/h100_*.csv
	@mkdir -p $(build)/predictions
	notebooks_data/predictions/make_cases.sh predict > $(build)/predictions/h100_hbm_cases.csv
	$(build)/tilewise predict --cases $(build)/predictions/h100_hbm_cases.csv --csv notebooks_data/predictions/h100_hbm.csv
	notebooks_data/predictions/predict_cases.sh h100 notebooks_data/predictions/h100_time.csv $(evidence_cases)
