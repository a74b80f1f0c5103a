# Tilewise: one entry point. `make help` lists every target. Everything built goes under build/.
#
# Each folder's own rules are in its module.mk; what is shared (compilers, flags) is here.

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SUFFIXES:
SHELL := /bin/bash

CC        ?= cc
NVCC      ?= nvcc
CUDA_ARCH ?= 90
OPENMP    ?= 1
SANITIZE  ?=
DEPS      ?= yes
CFLAGS    ?= -O2 -g
ifeq ($(origin CC),default)
CC := gcc
endif

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

include cpu_ref/module.mk sim/module.mk gpu/module.mk tests/module.mk notebooks_data/module.mk docs/module.mk

# One rule compiles all C. The flags file makes a change of flags rebuild everything.
$(build)/flags: FORCE
	@mkdir -p $(@D)
	@echo '$(CC) $(tw_cflags) $(CFLAGS)' | cmp -s - $@ || echo '$(CC) $(tw_cflags) $(CFLAGS)' > $@

$(build)/obj/%.o: %.c $(build)/flags
	@mkdir -p $(@D)
	$(CC) $(tw_cflags) $(object_cflags) $(CFLAGS) -MMD -MP -c $< -o $@

-include $(shell find $(build)/obj -name '*.d' 2>/dev/null)

.PHONY: all help clean FORCE
FORCE:

all: $(all_targets) ## everything that this machine can build; says what it leaves out, and why

help: ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST) | sort

clean: ## remove build/
	rm -rf $(build)
