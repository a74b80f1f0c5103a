# `make` compiles, `make check` tests, `make clean` removes what was built. SANITIZE=address,undefined finds stray writes.
CC     ?= gcc
CFLAGS ?= -O1 -g

check-lab: @SOURCE@ lab@LAB@.h libtilewise_lab@LAB@.a
	$(CC) -std=c11 -Wall -Wextra $(CFLAGS) $(if $(SANITIZE),-fsanitize=$(SANITIZE)) @SOURCE@ libtilewise_lab@LAB@.a -lm -o $@

.PHONY: check clean
check: check-lab
	./check-lab

clean:
	rm -f check-lab
