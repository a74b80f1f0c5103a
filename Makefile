# Tilewise: one entry point. `make help` lists every target. Everything built goes under build/.
#
# Each folder's own rules are in its module.mk; what is shared (compilers, flags, quality targets) is here.

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SUFFIXES:
SHELL := /bin/bash

NVCC      ?= $(or $(shell command -v nvcc),$(wildcard /usr/local/cuda/bin/nvcc),nvcc)
CUDA_ARCH ?= 80 90
OPENMP    ?= 1
SANITIZE  ?=
DEPS      ?= yes
CFLAGS    ?= -O2 -g
ifeq ($(origin CC),default)
CC := gcc
endif

# `make build=FOLDER` keeps another set of flags apart; sanitize, coverage and fuzz do so below build/.
build := build
# What the build itself needs; the user's CFLAGS and LDFLAGS are appended and never carry any of it.
tw_warnings := -Wall -Wextra -Wshadow -Wconversion -Wmissing-prototypes -Wstrict-prototypes -Wvla
tw_cflags   := -std=c11 -D_POSIX_C_SOURCE=200809L -fPIC -I. $(tw_warnings) $(if $(WERROR),-Werror)
tw_ldlibs   := -lm
ifeq ($(OPENMP),1)
tw_cflags += -fopenmp
else
tw_cflags += -Wno-unknown-pragmas
endif
ifneq ($(SANITIZE),)
tw_cflags += -fsanitize=$(SANITIZE) -fno-omit-frame-pointer -fno-sanitize-recover=all
endif

commit := $(shell git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)$(shell git diff --quiet HEAD 2>/dev/null || echo -dirty)

# What is missing is looked for, and installed, by tests/deps.sh; `have` only looks.
deps_env := CC='$(CC)' OPENMP='$(OPENMP)' DEPS='$(DEPS)' NVCC='$(NVCC)'
deps     := $(deps_env) tests/deps.sh
have     := $(deps_env) tests/deps.sh --have
missing  := $(deps_env) tests/deps.sh --missing
submake  := $(MAKE) --no-print-directory
# Programs started by a recipe find what was built here, whatever $(build) is.
export TW_BUILD = $(build)
export MACHINE

include cpu_ref/module.mk sim/module.mk gpu/module.mk tests/module.mk notebooks_data/module.mk docs/module.mk docs/labs/module.mk

# One rule compiles all C. The flags file makes a change of flags rebuild everything.
$(build)/flags: FORCE
	@mkdir -p $(@D)
	@echo '$(CC) $(tw_cflags) $(CFLAGS) $(LDFLAGS)' | cmp -s - $@ || \
	    echo '$(CC) $(tw_cflags) $(CFLAGS) $(LDFLAGS)' > $@

$(build)/obj/%.o: %.c $(build)/flags
	@mkdir -p $(@D)
	$(CC) $(tw_cflags) $(object_cflags) $(CFLAGS) -MMD -MP -c $< -o $@

-include $(shell find $(build)/obj -name '*.d' 2>/dev/null)

.PHONY: all gpu docs deps help format lint lint-format lint-cppcheck lint-tidy coverage clean FORCE
FORCE:

# What a target of $(all_targets) needs beyond a C compiler.
needs/$(build)/tilewise := popt inih jansson
needs/gpu := nvcc

all: ## everything that this machine can build; says what it leaves out, and why
	@$(have) cc || { echo "left out: everything, because $(CC) does not compile; make deps installs a compiler"; exit 1; }
	@+openmp=$(OPENMP); $(have) openmp || { openmp=0; echo "left out: OpenMP, because $(CC) -fopenmp does not link"; }; \
	$(foreach t,$(sort $(all_targets) gpu), \
	    if $(have) $(needs/$(t)); then $(submake) OPENMP=$$openmp $(t) || exit; \
	    else echo "left out: $(t), because this is missing: $$($(missing) $(needs/$(t)))"; fi;)

deps: ## install what report and test need (FOR="docs lint": what those need)
	@$(deps) $(FOR)

help: ## this list
	@echo 'Targets:'
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-17s %s\n", $$1, $$2}' $(MAKEFILE_LIST) | sort
	@echo 'Options:'
	@echo '  CC=clang  OPENMP=0  SANITIZE=address,undefined  CFLAGS=…  CUDA_ARCH='80 90'  NVCC=…'
	@echo '  DEPS=no            install nothing, only say what is missing'
	@echo '  GPU=1              make report: measure here first instead of reading the recorded CSV files'
	@echo '  MACHINE=h100       make report: the machine file to predict with, where the GPU has none'
	@echo '  LAB=1              handout, grade, grade-all, gradescope: which lab'
	@echo '  FUZZ_SECONDS=20    make fuzz: how long each fuzzer runs'

clean: ## remove build/
	rm -rf $(build)

# --- quality -------------------------------------------------------------------------------------------------

c_sources := $(wildcard cpu_ref/*.c sim/*.c sim/schedules/*.c tests/*.c gpu/*.c gpu/calibrate/*.c tests/fuzz/*.c tests/cuda_stub/*.c notebooks_data/*/*.c docs/manual/*.c) $(lab_sources)
c_headers := $(wildcard cpu_ref/*.h sim/*.h sim/schedules/*.h tests/*.h gpu/*.h gpu/calibrate/*.h notebooks_data/*/*.h) $(lab_headers)
cuda_sources := $(wildcard gpu/*.cu gpu/*.cuh gpu/kernels/*.cu gpu/kernels/*.cuh gpu/kernels/*.h gpu/calibrate/*.cu gpu/calibrate/*.cuh)

format: ## rewrite all C and CUDA C as .clang-format says
	@$(deps) format
	clang-format -i $(c_sources) $(c_headers) $(cuda_sources) $(lab_submissions)

lint: ## clang-format, cppcheck and clang-tidy find nothing
	@$(deps) lint
	@+DEPS=no $(submake) lint-format lint-cppcheck lint-tidy

lint-format: ## the first part of lint: is everything formatted?
	@$(deps) lint-format
	clang-format --dry-run -Werror $(c_sources) $(c_headers) $(cuda_sources) $(lab_submissions)

lint-cppcheck: $(lab_headers_3) $(build)/gen/machine_files.inc $(build)/gen/step_files.inc $(build)/gen/commit.h ## the second part: cppcheck
	@$(deps) lint-cppcheck
	cppcheck --quiet --std=c11 --enable=warning,performance,portability --error-exitcode=1 --inline-suppr \
	    --suppress=missingIncludeSystem -D__GNUC__=12 -D__STDC_VERSION__=201112L -I. -I$(build)/gen -I$(build)/labs/lab3 \
	    -DLAB_SOLUTIONS='""' $(filter-out gpu/% tests/cuda_stub/%,$(c_sources))

lint-tidy: $(lab_headers_3) $(build)/gen/machine_files.inc $(build)/gen/step_files.inc $(build)/gen/commit.h ## the third part: clang-tidy, the slow one
	@$(deps) lint-tidy
	clang-tidy --quiet --warnings-as-errors='*' $(filter-out gpu/% tests/fuzz/% tests/cuda_stub/%,$(c_sources)) -- \
	    -std=c11 -D_POSIX_C_SOURCE=200809L -I. -I$(build)/gen -I$(build)/labs/lab3 -DLAB_SOLUTIONS='""' -Wno-unknown-pragmas

coverage: ## lines of cpu_ref and sim that the tests run; at least 90 % of each
	@$(deps) coverage
	rm -rf $(build)/coverage
	@+$(submake) build=$(build)/coverage CFLAGS='-O0 -g --coverage -fprofile-update=atomic' test-suites
	@for folder in cpu_ref sim; do \
	    gcovr --root . --object-directory $(build)/coverage --filter "$$folder/" --fail-under-line 90 \
	        --print-summary --html-details $(build)/coverage/$$folder.html || exit; \
	done

# --- tests ---------------------------------------------------------------------------------------------------
# tests/module.mk builds $(build)/tests/check_tilewise, which holds every suite, and test-suites, which runs it.

# Tests also run the program.
test-suites: | $(build)/tilewise

.PHONY: test run-tests sanitize sanitize-compiler sanitize-valgrind fuzz
with_openmp = OPENMP=$$(if $(have) openmp; then echo $(OPENMP); else echo 0; fi)

test: ## every suite, the command line and the README's examples; warnings are errors
	@$(deps) test || true
	@+DEPS=no $(submake) WERROR=1 $(with_openmp) run-tests

# What can be built is built, even where the suites cannot run.
run-tests:
	@$(have) cc || { echo "test: nothing can be built or run without a C compiler"; exit 1; }
	@+$(submake) $(build)/libtilewise_ref.a $(build)/libtilewise_ref.so
	@+if $(have) popt inih jansson; then $(submake) $(build)/tilewise; \
	    else echo "left out: $(build)/tilewise, because this is missing: $$($(missing) popt inih jansson)"; fi
	@$(have) check popt inih jansson || { \
	    echo "test: this is missing: $$($(missing) check popt inih jansson). Without it these suites cannot run:"; \
	    sed -n 's/^TW_SUITE(\(.*\))$$/\1/p' tests/suites.def | paste -sd ' '; exit 1; }
	@+$(submake) test-shared-library
	@+$(submake) test-suites

sanitize: ## the suites under address, undefined-behaviour and leak sanitizers, then under valgrind
	@$(deps) sanitize
	@+DEPS=no $(submake) sanitize-compiler sanitize-valgrind

# Looking for leaks takes long after every test, so two processes share the suites. Suites about pages and labs are left
# out: they start programs whose own suites are among the rest.
sanitized = $(shell sed -n 's/^TW_SUITE(\(.*\))$$/\1/p' tests/suites.def | \
    grep -vE '^(readme|manual|pages|theory|house|labs|debugger|cli_recorded)$$' | awk 'NR % 2 == $(1)')
sanitize-compiler: export ASAN_OPTIONS := detect_leaks=1:strict_string_checks=1:quarantine_size_mb=16
sanitize-compiler: export UBSAN_OPTIONS := print_stacktrace=1
sanitize-compiler: ## the first half of sanitize
	@$(deps) sanitize-compiler
	@+$(submake) build=$(build)/sanitize SANITIZE=address,undefined CFLAGS='-O1 -g' WERROR=1 SUITES=ref_status test-suites
	@TW_BUILD=$(build)/sanitize $(build)/sanitize/tests/check_tilewise $(call sanitized,0) & \
	    TW_BUILD=$(build)/sanitize $(build)/sanitize/tests/check_tilewise $(call sanitized,1); odd=$$?; wait $$! && exit $$odd

# The suites that start programs are left out: valgrind would not follow; the program is run by itself instead.
valgrind := valgrind --quiet --leak-check=full --show-leak-kinds=definite,indirect \
    --errors-for-leak-kinds=definite,indirect --error-exitcode=9
valgrind_suites = $(shell sed -n 's/^TW_SUITE(\(.*\))$$/\1/p' tests/suites.def | grep -vE '^(cli_.*|gpu_cli|gpu_counters|manual|pages|house|step|debugger)$$')
sanitize-valgrind: ## the second half of sanitize, the slow one
	@$(deps) sanitize-valgrind
	@+$(submake) build=$(build)/valgrind CFLAGS='-O1 -g' $(build)/valgrind/tests/check_tilewise $(build)/valgrind/tilewise
	CK_FORK=no TW_BUILD=$(build)/valgrind $(valgrind) $(build)/valgrind/tests/check_tilewise $(valgrind_suites)
	$(valgrind) $(build)/valgrind/tilewise io --seqlen 300,1k --causal > /dev/null
	$(valgrind) $(build)/valgrind/tilewise run --seqlen 97 --heads 4 --heads-kv 2 --head-dim 40 --causal > /dev/null

# The program as a debugger wants it, in a folder of its own.
gdb_program := $(build)/gdb/tilewise
ARGS        ?= --example
.PHONY: gdb
$(gdb_program): FORCE
	@+$(submake) build=$(build)/gdb CFLAGS='-O0 -g' LDFLAGS= SANITIZE= $@

gdb: ## gdb on a small walk, with tw-step, tw-row, tw-tile, tw-watch-max (ARGS="--seqlen 8 --causal")
	@$(deps) gdb
	@+DEPS=no $(submake) $(with_openmp) $(gdb_program)
	gdb -q -x tests/gdb/tilewise.gdb -ex 'set args step --plain $(ARGS) < /dev/null > /dev/null' $(gdb_program)

fuzz: ## short runs of every fuzzer in tests/fuzz, with clang's libFuzzer
	@$(deps_env) CC=clang tests/deps.sh fuzz
	@+DEPS=no $(submake) build=$(build)/fuzz CC=clang SANITIZE=fuzzer-no-link,address,undefined OPENMP=0 run-fuzzers

FUZZ_SECONDS ?= 20
fuzzers := $(patsubst tests/fuzz/%.c,$(build)/%,$(wildcard tests/fuzz/fuzz_*.c))
.PHONY: run-fuzzers
run-fuzzers: $(fuzzers)
	@for fuzzer in $(fuzzers); do \
	    name=$$(basename $$fuzzer); mkdir -p $(build)/corpus/$$name; \
	    $$fuzzer -max_total_time=$(FUZZ_SECONDS) -max_len=4096 -artifact_prefix=$(build)/$$name- -print_final_stats=1 \
	        $(build)/corpus/$$name $$(ls -d tests/fuzz/seeds/$$name 2>/dev/null) > $(build)/$$name.log 2>&1 || \
	        { tail -n 40 $(build)/$$name.log; echo "$$name: found something, see above"; exit 1; }; \
	    echo "$$name: nothing found in $$(awk '/number_of_executed_units/ {print $$2}' $(build)/$$name.log) runs"; \
	done

$(build)/fuzz_%: tests/fuzz/fuzz_%.c $(build)/libtilewise_sim.a $(build)/libtilewise_ref.a
	$(CC) $(tw_cflags) $(CFLAGS) -fsanitize=fuzzer $(LDFLAGS) $^ -o $@ -linih $(tw_ldlibs)
