# The reference library: static, shared, and nothing else depends on more than this.

ref_sources := $(wildcard cpu_ref/*.c)
ref_objects := $(ref_sources:%.c=$(build)/obj/%.o)

# Random numbers are the same bit by bit everywhere only if products are not fused into additions.
$(build)/obj/cpu_ref/random.o: object_cflags = -ffp-contract=off

$(build)/libtilewise_ref.a: $(ref_objects)
	@rm -f $@
	$(AR) rcs $@ $^

$(build)/libtilewise_ref.so: $(ref_objects)
	$(CC) -shared $(tw_cflags) $(CFLAGS) $(LDFLAGS) $^ -o $@ $(tw_ldlibs)

all_targets += $(build)/libtilewise_ref.a $(build)/libtilewise_ref.so
