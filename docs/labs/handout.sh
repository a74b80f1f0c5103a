#!/usr/bin/env bash
# Writes what a student gets for one lab: docs/labs/handout.sh LAB SEED OUT. Called by `make handout`, which has built
# what is copied from $TW_BUILD. Nothing comes from tests/labs but the compiled library.
set -euo pipefail
lab=$1 seed=$2 out=$3
here=docs/labs kit=${TW_BUILD:-build}/labs/lab$lab

refuse() {
    echo "handout: $1" >&2
    exit 2
}
[[ $seed =~ ^[0-9]{1,18}$ ]] || refuse "SEED is '$seed', it must be a whole number of at most 18 digits"
[ -n "$out" ] || refuse "OUT=folder is missing"
[ ! -e "$out" ] || [ -z "$(ls -A "$out" 2>/dev/null)" ] || refuse "$out is there already and not empty"

script=$(mktemp)
trap 'rm -f "$script"' EXIT
# NAME=VALUE to s|@NAME@|VALUE|; a value may hold anything but a newline.
{ "$kit/grade" --seed "$seed" --describe; echo "SEED=$seed"; echo "LAB=$lab"; } |
    sed -E 's/[\\&|]/\\&/g; s/^([A-Z0-9_]+)=(.*)$/s|@\1@|\2|g/' >"$script"

mkdir -p "$out"
for file in "$here/lab$lab"/*; do
    case $file in
    */task_*) ;; # lab 3: only the seed's own task is shown, as part of the handout
    *) sed -f "$script" "$file" >"$out/$(basename "$file")" ;;
    esac
done
task=$(sed -n 's/^s|@TASK_FILE@|\(.*\)|g$/\1/p' "$script")
if [ -n "$task" ]; then
    sed -f "$script" "$here/lab$lab/$task" >"$out/task.part"
    sed -i -e "/@@TASK@@/{r $out/task.part" -e 'd}' "$out/handout.md"
    rm "$out/task.part"
fi
sed -f "$script" "$here/handout.mk" >"$out/Makefile"
cp "$kit/libtilewise_lab$lab.a" "$out/"
[ ! -e "$kit/tile_language.h" ] || cp "$kit/tile_language.h" "$out/"
[ ! -e "$kit/tilewise" ] || cp "$kit/tilewise" "$out/"
echo "$seed" >"$out/seed"
if grep -rIl '@[A-Z0-9_]\+@' "$out"; then refuse "something in these files was not filled in"; fi
echo "the handout of lab $lab for seed $seed is in $out"
