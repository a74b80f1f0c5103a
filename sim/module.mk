# The simulator: a library of its parts, and the program build/tilewise. Neither compiles a kernel.

# What only the program has; step_page.c and timeline_json.c need jansson, which the library does without.
cli_sources := $(wildcard sim/tilewise.c sim/cmd_*.c sim/step_page.c sim/timeline_json.c)
sim_sources := $(filter-out $(cli_sources),$(wildcard sim/*.c)) $(wildcard sim/schedules/*.c)
sim_objects := $(sim_sources:%.c=$(build)/obj/%.o)

# The inner loops of calibrate-cpu, once for each instruction set, as those of cpu_ref/tiled_kernel.c.
$(build)/obj/sim/cpu_kernel.o: object_cflags = -ffp-contract=fast
ifneq ($(filter x86_64-%,$(shell $(CC) -dumpmachine 2>/dev/null)),)
sim_objects += $(build)/obj/sim/cpu_kernel-avx2.o $(build)/obj/sim/cpu_kernel-avx512.o
endif
$(build)/obj/sim/cpu_kernel-avx2.o: object_cflags = -ffp-contract=fast -DTW_ISA=avx2 -mavx2 -mfma
$(build)/obj/sim/cpu_kernel-avx512.o: object_cflags = -ffp-contract=fast -DTW_ISA=avx512 -mavx512f -mfma
$(build)/obj/sim/cpu_kernel-%.o: sim/cpu_kernel.c $(build)/flags sim/module.mk
	@mkdir -p $(@D)
	$(CC) $(tw_cflags) $(CFLAGS) $(object_cflags) -MMD -MP -c $< -o $@

cli_objects := $(cli_sources:%.c=$(build)/obj/%.o)

# The list of kernels may come to be after this was compiled.
$(build)/obj/sim/kernels.o: $(wildcard gpu/kernels.def gpu/launches.def)

# Machine files are compiled in: each .ini becomes one C string.
# By name, not by file name: h100 stands before h100-pcie.
machine_files := $(addsuffix .ini,$(sort $(basename $(wildcard sim/machines/*.ini))))
$(build)/gen/machine_files.inc: $(machine_files) sim/module.mk
	@mkdir -p $(@D)
	@for f in $(machine_files); do \
	    echo "{\"$$(basename $$f .ini)\","; sed 's/\\/\\\\/g; s/"/\\"/g; s/^/"/; s/$$/\\n"/' $$f; echo '},'; \
	done > $@
$(build)/obj/sim/machine.o: $(build)/gen/machine_files.inc
$(build)/obj/sim/machine.o: object_cflags = -I$(build)/gen

# So are the page of `tilewise step --html` and the schedules that it shows.
page_files := $(sort $(wildcard sim/page/page.*))
schedule_files := $(sort $(wildcard sim/schedules/*.c))
step_incs := $(build)/gen/page_files.inc $(build)/gen/schedule_files.inc
$(build)/gen/%_files.inc: $(page_files) $(schedule_files) sim/module.mk
	@mkdir -p $(@D)
	@for f in $($*_files); do \
	    echo "{\"$$(basename $$f)\","; sed 's/\\/\\\\/g; s/"/\\"/g; s/?/\\?/g; s/^/"/; s/$$/\\n"/' $$f; echo '},'; \
	done > $@
$(build)/obj/sim/step_page.o: $(step_incs)
$(build)/obj/sim/step_page.o: object_cflags = -I$(build)/gen

# The same without the schedules, for those who are to write one: a page then shows the walk alone.
$(build)/obj/sim/step_page-sourceless.o: sim/step_page.c $(build)/gen/page_files.inc $(build)/flags
	@mkdir -p $(@D)
	$(CC) $(tw_cflags) -I$(build)/gen -DTW_SOURCELESS $(CFLAGS) -MMD -MP -c $< -o $@

# The commit is compiled in too; the file changes only when the commit does.
$(build)/gen/commit.h: FORCE
	@mkdir -p $(@D)
	@echo '#define TW_COMMIT "$(commit)"' | cmp -s - $@ || echo '#define TW_COMMIT "$(commit)"' > $@
$(build)/obj/sim/version.o: $(build)/gen/commit.h
$(build)/obj/sim/version.o: object_cflags = -I$(build)/gen

$(build)/libtilewise_sim.a: $(sim_objects)
	@rm -f $@
	$(AR) rcs $@ $^

$(build)/tilewise: $(cli_objects) $(build)/libtilewise_sim.a $(build)/libtilewise_ref.a
	$(CC) $(tw_cflags) $(CFLAGS) $(LDFLAGS) $^ -o $@ -lpopt -linih -ljansson $(tw_ldlibs)

all_targets += $(build)/tilewise
