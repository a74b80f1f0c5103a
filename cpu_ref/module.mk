# The reference library: static, shared, and nothing else depends on more than this.

ref_sources := $(wildcard cpu_ref/*.c)
ref_objects := $(ref_sources:%.c=$(build)/obj/%.o)

# Random numbers are the same bit by bit everywhere only if products are not fused into additions.
$(build)/obj/cpu_ref/random.o: object_cflags = -ffp-contract=off

# The inner kernel of tiled attention, once for each instruction set; which one runs is decided when it runs.
# -std=c11 alone would keep gcc from fusing a multiplication and an addition that are written as two.
$(build)/obj/cpu_ref/tiled_kernel.o: object_cflags = -ffp-contract=fast
ifneq ($(filter x86_64-%,$(shell $(CC) -dumpmachine 2>/dev/null)),)
ref_objects += $(build)/obj/cpu_ref/tiled_kernel-avx2.o $(build)/obj/cpu_ref/tiled_kernel-avx512.o
endif
$(build)/obj/cpu_ref/tiled_kernel-avx2.o: object_cflags = -ffp-contract=fast -DTW_ISA=avx2 -mavx2 -mfma
$(build)/obj/cpu_ref/tiled_kernel-avx512.o: object_cflags = -ffp-contract=fast -DTW_ISA=avx512 -mavx512f -mfma
$(build)/obj/cpu_ref/tiled_kernel-%.o: cpu_ref/tiled_kernel.c $(build)/flags cpu_ref/module.mk
	@mkdir -p $(@D)
	$(CC) $(tw_cflags) $(CFLAGS) $(object_cflags) -MMD -MP -c $< -o $@

$(build)/libtilewise_ref.a: $(ref_objects)
	@rm -f $@
	$(AR) rcs $@ $^

$(build)/libtilewise_ref.so: $(ref_objects)
	$(CC) -shared $(tw_cflags) $(CFLAGS) $(LDFLAGS) $^ -o $@ $(tw_ldlibs)

all_targets += $(build)/libtilewise_ref.a $(build)/libtilewise_ref.so

# The benchmark alone needs OpenBLAS; nothing else is built with it.
openblas_cflags = $(shell pkg-config --cflags openblas 2>/dev/null)
openblas_ldlibs = $(shell pkg-config --libs openblas 2>/dev/null)
$(build)/bench_tiled: cpu_ref/bench/bench_tiled.c $(build)/libtilewise_ref.a $(build)/flags
	@pkg-config --exists openblas || { echo "bench-cpu needs OpenBLAS: apt-get install libopenblas-dev"; exit 1; }
	$(CC) $(tw_cflags) $(CFLAGS) $(openblas_cflags) $(LDFLAGS) $(filter %.c %.a,$^) -o $@ $(openblas_ldlibs) $(tw_ldlibs)

.PHONY: bench-cpu
bench-cpu: $(build)/bench_tiled ## tiled attention on this CPU against OpenBLAS' sgemm
	$<
