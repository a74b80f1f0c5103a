# The simulator: a library of its parts, and the program build/tilewise. Neither compiles a kernel.

sim_sources := $(filter-out sim/tilewise.c $(wildcard sim/cmd_*.c),$(wildcard sim/*.c)) $(wildcard sim/schedules/*.c)
sim_objects := $(sim_sources:%.c=$(build)/obj/%.o)
cli_sources := $(wildcard sim/tilewise.c sim/cmd_*.c)
cli_objects := $(cli_sources:%.c=$(build)/obj/%.o)

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
	$(CC) $(tw_cflags) $(CFLAGS) $(LDFLAGS) $^ -o $@ -lpopt -linih $(tw_ldlibs)

all_targets += $(build)/tilewise
