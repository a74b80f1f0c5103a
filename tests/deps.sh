#!/usr/bin/env bash
# Looks for what a make target needs, says what is missing, and installs it.
#
#   tests/deps.sh TARGET...         report, test, docs, lint, …: what `make TARGET` needs
#   tests/deps.sh --have PART...    exit 0 if all these parts are there; prints nothing
#   tests/deps.sh --missing PART... prints those that are not there, on one line
#
# From the environment: CC and OPENMP as make has them; DEPS=no only says what is missing.
# Exit status: 0 all there (now), 1 something is still missing, 2 wrong usage.
#
# A part is looked for by using it (a header is compiled and its library linked, a tool is run), so a part that
# was installed by other means than apt is found too. Package names are those of Debian 12 and Ubuntu 24.04.
set -u
CC=${CC:-gcc} OPENMP=${OPENMP:-1} DEPS=${DEPS:-yes}

parts_of() { # make target -> parts
    case $1 in
    report) echo cc openmp popt inih jansson gnuplot ;;
    test) echo cc openmp popt inih jansson check bubblewrap zip unzip ;;
    handout | grade) echo cc openmp popt inih jansson bubblewrap ;;
    gradescope) echo cc openmp popt inih jansson zip ;;
    plots) echo cc openmp popt inih jansson gnuplot ;;
    docs) echo cc openmp popt inih jansson gnuplot doxygen doxygen-awesome-css mathjax ;;
    format) echo clang-format ;;
    lint-format) echo clang-format ;;
    lint-cppcheck) echo cc popt inih jansson cppcheck ;;
    lint-tidy) echo cc popt inih jansson check clang-tidy ;;
    lint) echo cc popt inih jansson check clang-format cppcheck clang-tidy ;;
    coverage) echo cc openmp popt inih jansson check gcovr ;;
    sanitize-compiler) echo cc openmp popt inih jansson check ;;
    sanitize-valgrind) echo cc openmp popt inih jansson check valgrind ;;
    sanitize) echo cc openmp popt inih jansson check valgrind ;;
    fuzz) echo fuzzer inih ;;
    gdb) echo cc openmp popt inih jansson gdb ;;
    bench-cpu) echo cc openmp popt inih openblas ;;
    *) return 1 ;;
    esac
}

package_of() { # part -> Debian packages
    case $1 in
    cc) case $CC in clang*) echo clang ;; *) echo gcc libc6-dev ;; esac ;;
    openmp) case $CC in clang*) echo libomp-dev ;; *) echo gcc ;; esac ;;
    popt) echo libpopt-dev ;;
    inih) echo libinih-dev ;;
    jansson) echo libjansson-dev ;;
    check) echo check ;;
    gnuplot) echo gnuplot-nox ;;
    fuzzer) echo clang libclang-rt-dev ;;
    openblas) echo libopenblas-dev ;;
    mathjax) echo libjs-mathjax ;;
    *) echo "$1" ;;
    esac
}

purpose_of() {
    case $1 in
    cc) echo "C compiler ($CC) and the C library's headers" ;;
    openmp) echo "OpenMP, to use all cores" ;;
    popt) echo "reads the command line" ;;
    inih) echo "reads machine files" ;;
    jansson) echo "writes the page of tilewise step --html" ;;
    check) echo "runs the test suites" ;;
    bubblewrap) echo "keeps students' code apart while it is graded" ;;
    zip | unzip) echo "packs and unpacks the autograder" ;;
    gnuplot) echo "draws the pictures" ;;
    doxygen) echo "builds the manual" ;;
    doxygen-awesome-css) echo "the manual's style sheet" ;;
    mathjax) echo "the manual's formulas" ;;
    clang-format) echo "one look for all source files" ;;
    clang-tidy | cppcheck) echo "finds mistakes without running" ;;
    gcovr) echo "says which lines the tests run" ;;
    gdb) echo "runs the program step by step" ;;
    valgrind) echo "finds wrong memory accesses" ;;
    fuzzer) echo "clang with libFuzzer" ;;
    openblas) echo "matrix product to be measured against" ;;
    esac
}

links() { # headers… -- flags… : does a program that includes these compile and link?
    local source=""
    while [ "$1" != -- ]; do
        source+="#include <$1>"$'\n'
        shift
    done
    shift
    printf '%sint main(void) { return 0; }\n' "$source" | "${compiler:-$CC}" -x c - -o "$scratch/probe" "$@" \
        >/dev/null 2>&1
}

have() {
    case $1 in
    cc) links stdio.h math.h -- -lm ;;
    openmp) [ "$OPENMP" != 1 ] || links omp.h -- -fopenmp ;;
    popt) links popt.h -- -lpopt ;;
    inih) links stdio.h ini.h -- -linih ;;
    jansson) links jansson.h -- -ljansson ;;
    bubblewrap) bwrap --version >/dev/null 2>&1 ;;
    unzip) unzip -v >/dev/null 2>&1 ;;
    check) links stdlib.h check.h -- -lcheck -lm || links stdlib.h check.h -- -lcheck -lsubunit -lrt -lm -pthread ;;
    gnuplot) [ "$(echo 'set terminal svg; set terminal pngcairo; print 42' | gnuplot 2>&1 | tail -n 1)" = 42 ] ;;
    fuzzer)
        printf '#include <stdint.h>\n#include <stddef.h>\nint LLVMFuzzerTestOneInput(const uint8_t *d, size_t n);\n%s\n' \
            'int LLVMFuzzerTestOneInput(const uint8_t *d, size_t n) { return (int)(n && d[0] > 255); }' |
            clang -fsanitize=fuzzer,address,undefined -x c - -o "$scratch/probe" >/dev/null 2>&1
        ;;
    openblas) links cblas.h -- -lopenblas || links openblas/cblas.h -- -lopenblas ;;
    doxygen-awesome-css) [ -s "${DOXYGEN_AWESOME:-/usr/share/doxygen-awesome-css}/doxygen-awesome.css" ] ;;
    mathjax) [ -s "${MATHJAX:-/usr/share/javascript/mathjax}/jax/output/SVG/jax.js" ] ;;
    nvcc) "${NVCC:-nvcc}" --version >/dev/null 2>&1 ;;
    *) "$1" --version >/dev/null 2>&1 ;;
    esac
}

missing_of() { # parts… -> those that are not there
    local part
    for part in "$@"; do
        have "$part" || echo "$part"
    done
}

scratch=$(mktemp -d) || exit 2
trap 'rm -rf "$scratch"' EXIT

if [ "${1:-}" = --have ]; then
    shift
    for part in "$@"; do
        have "$part" || exit 1
    done
    exit 0
fi

if [ "${1:-}" = --missing ]; then
    shift
    missing_of "$@" | paste -sd ' '
    exit 0
fi

[ $# -gt 0 ] || set -- report test
wanted=""
for target in "$@"; do
    parts=$(parts_of "$target") || {
        echo "deps: no list of parts for 'make $target'; the lists are in tests/deps.sh" >&2
        exit 2
    }
    wanted+=" $parts"
done
# shellcheck disable=SC2086
wanted=$(printf '%s\n' $wanted | awk '!seen[$0]++')

# shellcheck disable=SC2086
missing=$(missing_of $wanted)
if [ -z "$missing" ]; then
    echo "deps: everything for make $* is there"
    exit 0
fi

packages=""
echo "deps: missing for make $*:"
for part in $missing; do
    printf '    %-14s%s\n' "$part" "$(purpose_of "$part")"
    packages+=" $(package_of "$part")"
done
# shellcheck disable=SC2086
packages=$(printf '%s\n' $packages | sort -u | paste -sd ' ')

as_root=""
[ "$(id -u)" = 0 ] || as_root="sudo "
command="${as_root}apt-get update && ${as_root}apt-get install -y --no-install-recommends $packages"

cannot() { # why
    echo "deps: not installed: $1. The command is:"
    echo "    $command"
    exit 1
}

[ "$DEPS" != no ] || cannot "DEPS=no"
command -v apt-get >/dev/null || cannot "there is no apt-get here; look for these packages under your system's names"
if [ -n "$as_root" ]; then
    command -v sudo >/dev/null || cannot "not root, and there is no sudo (as root, leave sudo out)"
    [ -t 0 ] || sudo -n true 2>/dev/null || cannot "sudo asks for a password, and there is no terminal to ask on"
fi

echo "deps: installing with apt-get: $packages"
log=$scratch/apt.log
quiet="-q -o Dpkg::Use-Pty=0"
# shellcheck disable=SC2086
if ! { ${as_root} apt-get $quiet update && ${as_root} env DEBIAN_FRONTEND=noninteractive \
    apt-get $quiet install -y --no-install-recommends $packages; } >"$log" 2>&1; then
    tail -n 5 "$log"
    cannot "apt-get failed, see above"
fi

# shellcheck disable=SC2086
missing=$(missing_of $missing | paste -sd ' ')
[ -z "$missing" ] || cannot "installed, but still not usable: $missing"
echo "deps: everything for make $* is there now"
