#!/usr/bin/env bash
# Predicts what lists of cases hold.
#
#   predict_cases.sh MACHINE OUT.csv CASES.txt...      (run from the top of the repository, through make predictions)
#
# A line of a list holds options of `tilewise-gpu bench --cases`; --mask both is here two predictions. OUT.csv is
# written only if all could be predicted.
set -euo pipefail
machine=$1 out=$2
shift 2
tilewise=${TW_BUILD:-build}/tilewise
rows=$(mktemp)
trap 'rm -f "$rows"' EXIT

predict() { # options: rows, and comment lines and the header the first time
    if [ -s "$rows" ]; then
        "$tilewise" predict --machine "$machine" "$@" --csv - | sed -e '/^#/d' -e '/^algorithm,/d' >>"$rows"
    else
        "$tilewise" predict --machine "$machine" "$@" --csv - |
            sed "s|^# command:.*|# command: make predictions, from ${lists[*]}|" >"$rows"
    fi
}

lists=("$@")
while read -r -a words; do
    [ ${#words[@]} -gt 0 ] && [ "${words[0]:0:1}" != '#' ] || continue
    line="${words[*]} "
    case $line in
    *"--mask both "*)
        # shellcheck disable=SC2086 # options are words
        predict ${line/--mask both /}
        # shellcheck disable=SC2086
        predict ${line/--mask both /--causal }
        ;;
    *) predict "${words[@]}" ;;
    esac
done < <(cat "${lists[@]}")
mv "$rows" "$out"
chmod 644 "$out"
