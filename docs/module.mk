# The manual, by Doxygen: Markdown pages, and the comments of public headers. A warning is an error, and so is a link
# that leads nowhere. It is read without a network: style sheet and formulas come along.

DOXYGEN_AWESOME ?= /usr/share/doxygen-awesome-css
MATHJAX         ?= /usr/share/javascript/mathjax

# Headers that are inside a library or a program; the manual shows the others.
docs_inner := $(addprefix cpu_ref/,dot.h gold.h npy_header.h threads.h tiled_kernel.h whole.h) \
    $(addprefix sim/,access_list.h block_masks.h bounds_decode.h bounds_parts.h buckets.h codes.h commands.h compare_table.h contenders.h cpu.h cpu_kernel.h csv.h diagram_record.h draw.h emitter.h execution.h \
        explain.h extras.h io_masks.h io_ring.h io_table.h l2_jobs.h lengths.h numeric_executor.h options.h page_tables.h parse.h parse_mask.h parse_quantize.h \
        predict_errors.h progress.h readings.h replay.h reuse.h saving.h slots.h splits.h sm_launch.h sm_program.h sm_work.h step_page.h \
        step_tally.h step_text.h table.h tensors.h timeline.h tune.h units.h verdict_text.h version.h ways.h) \
    $(addprefix gpu/,checkup.h commands.h compare_element.h cublas_try.h device.h doctor.h exact_row.h fill.h help.h nvml.h \
        options.h product.h reference.h registry.h soak.h soak_case.h soak_kernels.h spin.h tensors.h timing.h)
# Sources that are there to be read.
docs_read := $(wildcard cpu_ref/gold.c cpu_ref/online_softmax.c sim/schedules/*.c gpu/kernels/*.cu gpu/plugin_example.cu)

docs_sources := $(filter-out $(docs_inner),$(wildcard cpu_ref/*.h sim/*.h sim/schedules/*.h gpu/*.h gpu/*.cuh)) $(docs_read)
docs_pages   := $(wildcard docs/*.md docs/theory/*.md docs/howto/*.md docs/labs/*.md docs/labs/lab?/handout.md) README.md CONTRIBUTING.md CHANGELOG.md notebooks_data/README.md
docs_html    := $(build)/docs/html
# Of MathJax only what turns TeX into SVG: 4 MB of 40.
docs_mathjax := MathJax.js extensions jax/input/TeX jax/element jax/output/SVG/jax.js jax/output/SVG/config.js \
    jax/output/SVG/autoload jax/output/SVG/fonts/TeX

# What docs/manual/page.awk wants to know.
export TW_DOCS_TOP      = $(CURDIR)
export TW_DOCS_PAGES    = $(docs_pages)
export TW_DOCS_SOURCES  = $(docs_sources)
export TW_DOCS_INCLUDES = $(build)/docs/pages

docs: ## the manual, build/docs/html/index.html
	@DOXYGEN_AWESOME='$(DOXYGEN_AWESOME)' MATHJAX='$(MATHJAX)' $(deps) docs
	@+DEPS=no $(submake) $(with_openmp) docs-files

.PHONY: docs-files
docs-files: plot-files $(build)/docs/pages/cli_reference.md
	@rm -rf $(docs_html)
	@mkdir -p $(docs_html)/mathjax
	@cd $(MATHJAX) && cp -rL --parents $(docs_mathjax) $(abspath $(docs_html))/mathjax
	@{ cat docs/manual/Doxyfile; \
	    echo 'OUTPUT_DIRECTORY = $(build)/docs'; \
	    echo 'PROJECT_NUMBER = $(commit)'; \
	    echo 'INPUT = $(docs_pages) $(docs_sources)'; \
	    echo 'IMAGE_PATH = $(filter-out docs/traffic.svg docs/timelines.svg docs/family.svg,$(wildcard docs/*.svg)) $(build)/report'; \
	    echo 'HTML_EXTRA_STYLESHEET = $(DOXYGEN_AWESOME)/doxygen-awesome.css docs/manual/style.css'; \
	    doxygen -s -g - | sed -n 's/^HTML_COLORSTYLE .*/HTML_COLORSTYLE = LIGHT/p'; } | doxygen -
	@docs/manual/check_links.sh $(docs_html)
	@echo 'the manual is $(docs_html)/index.html'

$(build)/docs/pages/cli_reference.md: docs/manual/cli_reference.sh $(build)/tilewise $(build)/docs/gpu_help
	@mkdir -p $(@D)
	docs/manual/cli_reference.sh > $@

$(build)/docs/gpu_help: $(build)/obj/docs/manual/gpu_help.o $(gpu_host_objects) $(build)/libtilewise_sim.a $(build)/libtilewise_ref.a
	@mkdir -p $(@D)
	$(CC) $(tw_cflags) $(CFLAGS) $(LDFLAGS) $^ -o $@ -lpopt -linih $(tw_ldlibs)
