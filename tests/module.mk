# The tests: every tests/check_*.c is a Check suite of one program, support_*.c is what they share. suites.def lists them.

test_sources := $(wildcard tests/check_*.c tests/support_*.c)
table_parts  := $(patsubst %.c,$(build)/obj/%.o,$(filter-out %/main.c,$(wildcard notebooks_data/tables/*.c notebooks_data/ledger/*.c)))
test_objects := $(test_sources:%.c=$(build)/obj/%.o) $(gpu_host_objects) $(table_parts)
test_ldlibs  := -lcheck -lsubunit -lpopt -linih -ljansson -lm -lrt -lpthread

# This one includes the recipe of the random numbers and must compile it as the library does.
$(build)/obj/tests/check_ref_random.o: object_cflags = -ffp-contract=off

# Simulator first: it needs the reference library, never the other way round.
$(build)/tests/check_tilewise: $(test_objects) $(build)/libtilewise_sim.a $(build)/libtilewise_ref.a
	@mkdir -p $(@D)
	$(CC) $(tw_cflags) $(CFLAGS) $(LDFLAGS) $^ -o $@ $(test_ldlibs) $(tw_ldlibs)

# tilewise-gpu with CUDA's calls answered by the host (tests/cuda_stub/): what it does around its kernels can be tested
# without a GPU. It needs CUDA's headers, so it is built where these are.
stub_objects := $(gpu_c_sources:%.c=$(build)/obj/%.o) $(patsubst %.c,$(build)/obj/%.o,$(wildcard tests/cuda_stub/*.c))
stub_if_any  := $(if $(wildcard $(cuda_home)/include/cublas_v2.h),$(build)/tests/tilewise-gpu-stub)
$(build)/obj/tests/cuda_stub/%.o: object_cflags = -isystem $(cuda_home)/include
$(build)/tests/tilewise-gpu-stub: $(stub_objects) $(build)/libtilewise_sim.a $(build)/libtilewise_ref.a
	@mkdir -p $(@D)
	$(CC) $(tw_cflags) $(CFLAGS) $(LDFLAGS) $^ -o $@ -lpopt -linih $(tw_ldlibs) -ldl -lpthread

# Check's time limits are there for tests that hang. On a busy machine others wait as long.
export CK_TIMEOUT_MULTIPLIER ?= 5
.PHONY: test-suites test-shared-library
# The debugger's commands are tested where there is a debugger.
gdb_if_any := $(if $(SANITIZE),,$(if $(shell command -v gdb),$(build)/gdb/tilewise))
# Suites that run make themselves must not be told of a jobserver that they cannot reach.
no_jobserver := 's/ ?-j[0-9]*( |$$)/\1/g; s/ ?--jobserver-[a-z]+=[^ ]*//g'
test-suites: $(build)/tests/check_tilewise $(build)/tilewise $(gdb_if_any) $(stub_if_any) ## every Check suite; SUITES="ref_npy …" for some
	MAKEFLAGS="$$(printf '%s' "$$MAKEFLAGS" | sed -E $(no_jobserver))" $< $(SUITES)

# The shared library as a stranger uses it: it exports nothing but tw_*, and Python can call it. Neither can be said
# of a library that was built with a sanitizer.
test-shared-library: $(build)/libtilewise_ref.so ## what libtilewise_ref.so exports, and the Python example
ifeq ($(SANITIZE),)
	@strange=$$(nm -D --defined-only $< | awk '{print $$NF}' | grep -v '^tw_'); \
	    if [ -n "$$strange" ]; then echo "$< exports" $$strange "and must export tw_* alone"; exit 1; fi
	@if command -v python3 >/dev/null; then \
	    python3 docs/howto/python_ctypes.py | diff - tests/data/python_ctypes.txt; \
	else echo "python3 is not here: docs/howto/python_ctypes.py was not run"; fi
endif
