# Loaded by `make gdb`, from the top of the repository.
set pagination off
set confirm off
set print thread-events off
set print inferior-events off
set debuginfod enabled off
source tests/gdb/tilewise.py
echo tw-step goes to the next tile; tw-row I, tw-tile, tw-watch-max I; print a slot or a row state. help tw-step\n
