# The GPU side: build/tilewise-gpu, and a plugin as an example. Needs nvcc; nothing on the CPU side needs this.

cuda_home  := $(abspath $(dir $(NVCC))/..)
# Machine code for every architecture named, and of the last one PTX too, which newer GPUs compile when they load it.
nvcc_archs := $(foreach a,$(CUDA_ARCH),-gencode arch=compute_$(a),code=sm_$(a)) \
              -gencode arch=compute_$(lastword $(CUDA_ARCH)),code=compute_$(lastword $(CUDA_ARCH))
nvcc_flags  = -std=c++17 -O3 -lineinfo $(nvcc_archs) -Xcompiler -Wall,-Wextra,-Wno-missing-field-initializers,-fPIC -Xptxas -v -I.

gpu_c_sources  := $(wildcard gpu/*.c gpu/calibrate/*.c)
gpu_cu_sources := $(wildcard gpu/kernels/*.cu gpu/calibrate/*.cu) gpu/fill.cu gpu/soak_kernels.cu gpu/spin.cu
gpu_objects    := $(gpu_c_sources:%.c=$(build)/obj/%.o) $(gpu_cu_sources:%.cu=$(build)/%.o)
# What needs no CUDA, for tests on machines without it.
gpu_host_objects := $(patsubst %,$(build)/obj/gpu/%.o,help options machine_name checkup soak_case \
                      $(addprefix calibrate/,options fit sides properties))

$(build)/obj/gpu/%.o: object_cflags = -isystem $(cuda_home)/include

$(build)/gpu/flags: FORCE
	@mkdir -p $(@D)
	@echo '$(NVCC) $(nvcc_flags)' | cmp -s - $@ || echo '$(NVCC) $(nvcc_flags)' > $@

# Rungs 40 and up are Hopper's alone: wgmma is in sm_90a, and in no later architecture.
$(build)/gpu/kernels/4%.o: nvcc_archs := -gencode arch=compute_90a,code=sm_90a

# So is the tensor core's best rate, which the microbenchmarks measure; GPUs before and after get along without it.
$(build)/gpu/calibrate/%.o: nvcc_archs := -gencode arch=compute_80,code=sm_80 -gencode arch=compute_90a,code=sm_90a \
                                          -gencode arch=compute_90,code=compute_90

# ptxas says what every kernel takes; that is kept beside the object, and a kernel that spills is an error.
$(build)/gpu/%.o: gpu/%.cu $(build)/gpu/flags | has-nvcc
	@mkdir -p $(@D)
	$(NVCC) $(nvcc_flags) -MMD -MP -MF $(@:.o=.d) -c $< -o $@ > $(@:.o=.ptxas.txt) 2>&1 || \
	    { cat $(@:.o=.ptxas.txt); rm -f $@; exit 1; }
	@! grep -E 'warning|error|C75[01]|serializ' $(@:.o=.ptxas.txt)
	@! grep -B1 -E '[1-9][0-9]* bytes (stack frame|spill)' $(@:.o=.ptxas.txt) || \
	    { echo '$<: a kernel spills registers, see $(@:.o=.ptxas.txt)'; rm -f $@; exit 1; }

-include $(gpu_cu_sources:%.cu=$(build)/%.d)

# cuBLAS is the one library that is loaded at run time, so that the program can be copied to another machine.
# A plugin finds tw_fail() and the like in the program.
$(build)/tilewise-gpu: $(gpu_objects) $(build)/libtilewise_sim.a $(build)/libtilewise_ref.a
	$(NVCC) -cudart static $(if $(filter 1,$(OPENMP)),-Xcompiler -fopenmp) $^ -o $@ -L$(cuda_home)/lib64 -lcublas \
	    -Xlinker -rpath,$(cuda_home)/lib64 -Xlinker --export-dynamic-symbol='tw_*' -l:libpopt.a -l:libinih.a $(tw_ldlibs) -ldl

$(build)/plugin_example.so: gpu/plugin_example.cu gpu/kernel.h gpu/cuda_try.h $(build)/gpu/flags | has-nvcc
	$(NVCC) $(nvcc_flags) -cudart static -shared $< -o $@ 2> $(build)/gpu/plugin_example.ptxas.txt || \
	    { cat $(build)/gpu/plugin_example.ptxas.txt; exit 1; }

.PHONY: has-nvcc bench validate counters calibrate ladder doctor soak sanitize-gpu
has-nvcc:
	@$(NVCC) --version >/dev/null 2>&1 || \
	    { echo 'make gpu needs nvcc, the CUDA compiler: install the CUDA toolkit, or say NVCC=/path/to/nvcc'; exit 1; }

gpu: has-nvcc $(build)/tilewise-gpu $(build)/plugin_example.so ## the GPU kernels and build/tilewise-gpu (needs nvcc)

# The grid of the measurements in notebooks_data/: 16k tokens in all, hidden size 2048.
GPU_GRID ?= --seqlen 512..16k --tokens 16k --hidden 2048 --head-dim 64,128 --mask both
GPU_CSV  ?= $(build)/gpu

validate: gpu ## every GPU kernel against the CPU reference on awkward shapes (needs a GPU)
	$(build)/tilewise-gpu validate

bench: gpu ## time and energy of every GPU kernel into build/gpu/bench.csv (needs a GPU)
	$(build)/tilewise-gpu bench $(GPU_GRID) --csv $(GPU_CSV)/bench.csv

calibrate: gpu ## measure this GPU in under two minutes; build/gpu/calibration/ has its machine file and curves (needs a GPU)
	@mkdir -p $(GPU_CSV)/calibration
	$(build)/tilewise-gpu calibrate --out $(GPU_CSV)/calibration/machine.ini --plots $(GPU_CSV)/calibration

counters: gpu ## hardware counters of every GPU kernel into build/gpu/counters.csv (needs ncu and a GPU)
	gpu/counters.py --program $(build)/tilewise-gpu --csv $(GPU_CSV)/counters.csv $(GPU_GRID)

# What was measured on an H100 is recorded; of any other GPU it stays in build/.
ladder: gpu $(build)/tables ## all kernels and PyTorch's in turn, five rounds; writes the README's table (needs a GPU)
	gpu/ladder.py --program $(build)/tilewise-gpu --csv $(GPU_CSV)/ladder.csv
	@if grep -q '^1,matrix_product,h100,' $(GPU_CSV)/ladder.csv; then \
	    cp $(GPU_CSV)/ladder.csv notebooks_data/h100/ladder.csv && $(submake) tables; \
	    else echo "left out: the README's table is of an H100, this is another GPU; see $(GPU_CSV)/ladder.csv"; fi

doctor: gpu ## is this GPU fit to measure on? (needs a GPU)
	$(build)/tilewise-gpu doctor

SOAK_SECONDS ?= 60
soak: gpu ## every GPU kernel on random shapes for SOAK_SECONDS (needs a GPU)
	$(build)/tilewise-gpu soak --seconds $(SOAK_SECONDS)

sanitize-gpu: gpu ## compute-sanitizer's four tools on every GPU kernel (needs a GPU)
	gpu/sanitize.sh $(build)/tilewise-gpu
