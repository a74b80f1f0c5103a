# `make` compiles, `make check` tests, `make clean` removes what was built. `make check SANITIZE=address,undefined`
# compiles a second program that stops at the line of a stray read or write.
ifeq ($(origin CC),default)
CC := gcc
endif
CFLAGS ?= -O1 -g

comma    := ,
sanitize := $(if $(SANITIZE),-fsanitize=$(SANITIZE) -fno-sanitize-recover=all)
program  := check-lab$(if $(SANITIZE),-$(subst $(comma),-,$(SANITIZE)))

$(program): @SOURCE@ lab@LAB@.h libtilewise_lab@LAB@.a
	$(CC) -std=c11 -Wall -Wextra $(CFLAGS) $(sanitize) @SOURCE@ libtilewise_lab@LAB@.a -lm -o $@

.PHONY: check clean
check: $(program)
	./$(program)

clean:
	rm -f check-lab check-lab-*
