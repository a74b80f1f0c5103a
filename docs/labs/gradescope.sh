#!/usr/bin/env bash
# Packs the autograder for Gradescope: docs/labs/gradescope.sh LAB [SEED]. Called by `make gradescope`. The zip holds
# programs and no solution. Without SEED, each submission's own file `seed` counts.
set -euo pipefail
lab=$1 seed=$2
build=${TW_BUILD:-build}

if [[ -n $seed && ! $seed =~ ^[0-9]{1,18}$ ]]; then
    echo "gradescope: SEED is '$seed', it must be a whole number of at most 18 digits" >&2
    exit 2
fi
kit=$build/labs zip=$PWD/$build/gradescope/lab$lab.zip

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/lab$lab" "$(dirname "$zip")"
cp "$kit/tilewise-confine" "$work/"
cp "$kit/lab$lab/static/grade" "$kit/lab$lab/worker.o" "$kit/lab$lab"/*.h "$work/lab$lab/"

cat >"$work/setup.sh" <<'END'
#!/usr/bin/env bash
# Run once, when the container is built.
set -e
apt-get update
DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends gcc libc6-dev bubblewrap
END

cat >"$work/run_autograder" <<END
#!/usr/bin/env bash
# Run for each submission. If the grader itself cannot work there is no results.json, and Gradescope says so: that is
# nobody's zero.
root=\${AUTOGRADER:-/autograder}
chmod -R go-rwx "\$root/source"
mkdir -p "\$root/results"
exec "\$root/source/lab$lab/grade" --submission "\$root/submission" --json "\$root/results/results.json" ${seed:+--seed $seed}
END
chmod +x "$work/setup.sh" "$work/run_autograder"

rm -f "$zip"
(cd "$work" && zip -q -r -X "$zip" .)
echo "the autograder is ${zip#"$PWD"/}: upload it to Gradescope as it is"
