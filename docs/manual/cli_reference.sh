#!/usr/bin/env bash
# Prints what every subcommand of both programs says of itself, as Markdown. `make docs` puts it into docs/cli_reference.md.
set -euo pipefail
build=${TW_BUILD:-build}

block() { printf '```text\n%s\n```\n\n' "$1"; }

# The names below "Commands", one a line.
commands_of() { awk 'listing && NF == 0 { exit !seen } listing { print $1; seen = 1 } /^Commands/ { listing = 1; getline }'; }

reference() { # program's name, then what prints its help, to which a subcommand's name and --help are appended
    local name=$1 command overview
    shift
    overview=$("$@" --help)
    printf '## %s\n\n' "$name"
    block "$overview"
    for command in $(commands_of <<<"$overview"); do
        printf '### %s %s\n\n' "$name" "$command"
        block "$("$@" "$command" --help)"
    done
}

reference tilewise "$build/tilewise"
reference tilewise-gpu "$build/docs/gpu_help"
