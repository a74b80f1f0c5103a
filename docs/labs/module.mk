# The labs: handouts for students, and the grader. What students get comes from docs/labs/; what they must not see (the
# judges, solutions, wrong submissions, attacks) from tests/labs/.

labs := 1 2 3

# For format and lint. What students and their imitators wrote is formatted alone: some of it is wrong on purpose.
lab_sources     := $(wildcard tests/labs/*.c tests/labs/grader/*.c tests/labs/worker/*.c tests/labs/lab?/*.c)
lab_headers     := $(wildcard tests/labs/*.h tests/labs/*/*.h docs/labs/lab?/*.h)
lab_submissions := $(wildcard docs/labs/lab?/*.c tests/labs/attacks/*.c tests/labs/lab?/solution*/*.c \
    tests/labs/lab?/wrong/*/*.c)

# What a student's code is linked with is plain: no OpenMP, no sanitizer, so that it links anywhere.
lab_cc = $(CC) -std=c11 -D_POSIX_C_SOURCE=200809L -I. $(tw_warnings) -Wno-unknown-pragmas $(if $(WERROR),-Werror) \
    -O2 -ffp-contract=off
$(build)/labs/obj/%.o: %.c $(build)/flags
	@mkdir -p $(@D)
	$(lab_cc) $(lab_more) -MMD -MP -c $< -o $@
-include $(shell find $(build)/labs/obj -name '*.d' 2>/dev/null)
lab_objects = $(patsubst %.c,$(build)/labs/obj/%.o,$(1))

lab_reference := $(addprefix cpu_ref/,compare.c dtype.c dropout.c exp2_polynomial.c gold.c linformer.c masks.c memory.c online_softmax.c problem.c quantize.c quantized.c random.c \
    score_mods.c status.c tile_map.c)
lab_judging   := $(addprefix tests/labs/grader/,ending.c judge.c report.c seed.c settings.c) tests/labs/worker/message.c
lab_grading   := $(addprefix tests/labs/grader/,main.c grade.c results.c grade_all.c grades.c workshop.c build.c submission.c confine.c confine_choose.c)
lab_grading_o := $(patsubst %.c,$(build)/obj/%.o,$(lab_grading) $(lab_judging))
$(build)/obj/tests/labs/grader/main.o: object_cflags = -DLAB_SOLUTIONS='"$(CURDIR)/tests/labs"'

$(build)/labs/obj/tests/labs/grader/main.o: lab_more = -DLAB_SOLUTIONS='"/nonexistent"'

# Which files make up each lab: what it judges by, and what calls the student's functions.
lab_judge_1  := $(addprefix tests/labs/lab1/,answers.c ask.c judge.c row.c variant.c)
lab_call_1   := $(addprefix tests/labs/lab1/,arrays.c dispatch.c)
lab_judge_2  := $(addprefix tests/labs/lab2/,answers.c judge.c mistakes.c variant.c)
lab_call_2   := tests/labs/lab2/dispatch.c
lab_judge_3  := $(addprefix tests/labs/lab3/,advice.c answers.c cases.c expect.c judge.c launch.c records.c replay.c surplus.c tensors.c variant.c)
lab_call_3   := tests/labs/lab3/record.c tests/labs/lab3/launch.c sim/emitter.c sim/emitter_shares.c sim/splits.c sim/walks.c $(addprefix cpu_ref/,dropout.c dtype.c masks.c memory.c problem.c quantize.c \
    score_mods.c status.c tile_map.c)
lab_keep_3   := --keep-global-symbol='tw_*' --keep-global-symbol='lab3_*'
# Lab 2's students run tilewise io on machines that have none of its libraries. Schedules are what lab 3 asks for.
lab_more_2   := $(build)/labs/lab2/tilewise
$(lab_more_2): $(filter-out %/step_page.o,$(cli_objects)) $(build)/obj/sim/step_page-sourceless.o $(build)/libtilewise_sim.a \
    $(build)/libtilewise_ref.a
	@mkdir -p $(@D)
	$(CC) $(tw_cflags) $(CFLAGS) $(if $(SANITIZE),,-static -Wl,--no-warnings) $(LDFLAGS) $^ -o $@ -lpopt -linih -ljansson $(tw_ldlibs)
	$(if $(SANITIZE),,strip $@)
# Lab 3's students read the tile language as one header.
lab_headers_3 := $(build)/labs/lab3/tile_language.h
$(build)/labs/lab3/tile_language.h: cpu_ref/dtype.h cpu_ref/dropout.h cpu_ref/masks.h cpu_ref/score_mods.h cpu_ref/quantize.h cpu_ref/problem.h \
    sim/order.h sim/tiling.h sim/tile_ops.h sim/schedules/schedule_language.h docs/labs/tile_language.sh
	@mkdir -p $(@D)
	@docs/labs/tile_language.sh $(filter %.h,$^) > $@
$(build)/labs/obj/tests/labs/lab3/record.o: lab_more = -I$(build)/labs/lab3
$(build)/labs/obj/tests/labs/lab3/record.o: $(lab_headers_3)
# The simulator's parts that the judges of labs 2 and 3 use; within the handout's library they go along.
lab_sim_2    := $(addprefix sim/,backend_count.c emitter.c emitter_shares.c fitting.c products.c slots.c splits.c tile_ops.c tile_ops_backward.c tile_ops_decode.c tile_ops_parts.c walks.c $(addprefix schedules/,standard.c standard_tiled.c flash1.c flash2.c)) \
    tests/labs/lab3/no_l2.c
lab_sim_3    := $(addprefix sim/,backend_count.c backend_numeric.c numeric_backward.c numeric_decode.c numeric_products.c numeric_softmax.c emitter.c emitter_shares.c fitting.c products.c slots.c splits.c tile_ops.c tile_ops_backward.c tile_ops_decode.c tile_ops_parts.c walks.c) \
    tests/labs/lab3/no_l2.c

$(build)/labs/tilewise-confine: tests/labs/grader/inner.c $(build)/flags
	@mkdir -p $(@D)
	$(lab_cc) -static $< -o $@

# build/labs/labN: the grader, the worker's object with all names hidden but those it needs, and the header.
define lab_rules
$(build)/labs/lab$(1)/grade: $(lab_grading_o) $(patsubst %.c,$(build)/obj/%.o,$(lab_judge_$(1))) \
    $(build)/libtilewise_sim.a $(build)/libtilewise_ref.a
	@mkdir -p $$(@D)
	$(CC) $(tw_cflags) $(CFLAGS) $(LDFLAGS) $$^ -o $$@ -ljansson -lpopt -linih $(tw_ldlibs)

# What calls the student's functions; of its names only those remain that the student's code and the worker need.
$(build)/labs/lab$(1)/calls.o: $(call lab_objects,$(lab_call_$(1)) tests/labs/worker/message.c)
	@mkdir -p $$(@D)
	$(LD) -r $$^ -o $$@
	objcopy --strip-debug --wildcard --keep-global-symbol=lab_dispatch $(lab_keep_$(1)) $$@

$(build)/labs/lab$(1)/worker.o: $(build)/labs/lab$(1)/calls.o $(call lab_objects,tests/labs/worker/worker_main.c tests/labs/worker/message.c)
	@mkdir -p $$(@D)
	$(LD) -r $$^ -o $$@
	objcopy --strip-debug --wildcard --keep-global-symbol=main $(lab_keep_$(1)) $$@

$(build)/labs/lab$(1)/lab$(1).h: docs/labs/lab$(1)/lab$(1).h
	@mkdir -p $$(@D)
	cp $$< $$@

$(build)/labs/lab$(1)/check.o: $(call lab_objects,$(sort tests/labs/grader/selfcheck.c $(lab_judging) $(lab_judge_$(1)) \
    $(lab_sim_$(1)) $(lab_reference)))
	@mkdir -p $$(@D)
	$(LD) -r $$^ -o $$@
	objcopy --strip-debug --discard-all --wildcard --keep-global-symbol=main $$@

$(build)/labs/lab$(1)/libtilewise_lab$(1).a: $(build)/labs/lab$(1)/check.o $(build)/labs/lab$(1)/calls.o
	@rm -f $$@
	$(AR) rcs $$@ $$^

# For Gradescope's containers: the same program without a library to be installed.
$(build)/labs/lab$(1)/static/grade: $(call lab_objects,$(lab_grading) $(lab_judging) $(lab_judge_$(1)) $(lab_sim_$(1)) $(lab_reference))
	@mkdir -p $$(@D)
	$(lab_cc) -static $$^ -o $$@ -ljansson -lpopt -lm

lab$(1)-kit: $(build)/labs/lab$(1)/grade $(build)/labs/lab$(1)/worker.o $(build)/labs/lab$(1)/lab$(1).h \
    $(build)/labs/tilewise-confine $(lab_headers_$(1))
endef
$(foreach lab,$(labs),$(eval $(call lab_rules,$(lab))))
.PHONY: $(labs:%=lab%-kit)

# --- what one calls ----------------------------------------------------------------------------------------------

LAB        ?=
SUBMISSION ?=
DIR        ?=
SEED       ?=
OUT        ?=
JSON       ?=
CSV        ?= grades.csv
JOBS       ?= 2
lab_is_known = @[ -n "$(if $(filter 1,$(words $(LAB))),$(filter $(labs),$(LAB)))" ] || { echo "LAB is '$(LAB)', it must be one of $(labs)"; exit 2; }
lab_grade    = TW_LAB_CC='$(CC)' $(build)/labs/lab$(LAB)/grade $(if $(SEED),--seed '$(SEED)')

.PHONY: handout grade grade-all gradescope
handout: ## what a student gets: LAB=1 SEED=number OUT=folder
	$(lab_is_known)
	@$(deps) handout
	@+$(submake) lab$(LAB)-kit $(build)/labs/lab$(LAB)/libtilewise_lab$(LAB).a $(lab_more_$(LAB))
	@docs/labs/handout.sh '$(LAB)' '$(or $(SEED),1)' '$(OUT)'

grade: ## points and reasons: LAB=1 SUBMISSION=folder [SEED=number] [JSON=results.json]
	$(lab_is_known)
	@$(deps) grade
	@+$(submake) lab$(LAB)-kit
	@$(lab_grade) --submission '$(SUBMISSION)' $(if $(JSON),--json '$(JSON)')

grade-all: ## a folder of submissions: LAB=1 DIR=folder [CSV=grades.csv] [JOBS=2] [SEED=number]
	$(lab_is_known)
	@$(deps) grade
	@+$(submake) lab$(LAB)-kit
	@$(lab_grade) --all '$(DIR)' --csv '$(CSV)' --jobs '$(JOBS)'

gradescope: ## the autograder to upload, build/gradescope/labN.zip: LAB=1 [SEED=number]
	$(lab_is_known)
	@$(deps) gradescope
	@+$(submake) lab$(LAB)-kit $(build)/labs/lab$(LAB)/static/grade
	@docs/labs/gradescope.sh '$(LAB)' '$(SEED)'

# Everything that the tests of the labs need; jansson reads back what the grader writes.
test_ldlibs += -ljansson
$(build)/tests/check_tilewise: $(build)/obj/tests/labs/lab_tests.o
test-suites: labs
.PHONY: labs
labs: $(foreach lab,$(labs),lab$(lab)-kit $(build)/labs/lab$(lab)/libtilewise_lab$(lab).a \
    $(build)/labs/lab$(lab)/static/grade $(lab_more_$(lab)))
