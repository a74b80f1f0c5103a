#!/usr/bin/env python3
"""Reads the hardware counters of every kernel with Nsight Compute and writes one CSV row per case.

usage: counters.py [--program tilewise-gpu] [--ncu ncu] [--replay MODE] [--start flushed|warm] --csv FILE
                   [options of `tilewise-gpu launch`]
       counters.py --parse NCU_LOG CASES_CSV     what was recorded before, to standard output

Many cases in one go are quickest with --cases FILE, an option of `tilewise-gpu launch`: a line a case, one process.

`tilewise-gpu launch` runs each case once, behind a launch of tw_init_case; all launches up to the next one belong
to that case and are summed, but for those whose name starts with tw_init_ (they prepare memory, and the counts
of the simulator leave that out). Filling the tensors is not profiled.

--replay kernel (the default) repeats each launch until all counters are read, and puts memory back in between;
--replay application runs the whole program again instead, which needs no room to put memory aside: for matrices of
scores that fill half of the GPU.

--start flushed (the default) empties all caches before each launch. --start warm leaves in them what a run of the same
case has left, and reads HBM's counters alone: they fit into one pass, so nothing is put back in between.

--command calibrate profiles `tilewise-gpu calibrate` in place of `launch`, whose option --launch says what: `dirty` (one
write of each size: HBM writes fall short of it by what may stay dirty in the L2) or `l2` (working sets read 8 times).
"""
import csv
import os
import re
import subprocess
import sys
import tempfile

from script import fail, need_csv, need_program, take, write_whole

# metric of Nsight Compute -> column, factor
METRICS = {
    "l1tex__m_xbar2l1tex_read_bytes.sum": ("fill_bytes", 1),
    "l1tex__m_l1tex2xbar_write_bytes.sum": ("drain_bytes", 1),
    "lts__t_sectors_srcunit_tex.sum": ("l2_request_bytes", 32),
    "dram__bytes_read.sum": ("hbm_read_bytes", 1),
    "dram__bytes_write.sum": ("hbm_write_bytes", 1),
    "sm__cycles_elapsed.max": ("sm_cycles", 1),
    "gpu__time_duration.sum": ("gpu_time_us", 1),
}
# what a pass can read at once, so that no other pass disturbs the caches
METRICS_OF_A_PASS = {name: column for name, column in METRICS.items() if name.startswith("dram__")}
STARTS = {"flushed": (METRICS, "all", []), "warm": (METRICS_OF_A_PASS, "none", ["--warm"])}
# units that ncu may print -> factor to bytes, microseconds or a plain number
UNITS = {"": 1, "byte": 1, "Kbyte": 1e3, "Mbyte": 1e6, "Gbyte": 1e9, "sector": 1, "cycle": 1,
         "ns": 1e-3, "nsecond": 1e-3, "us": 1, "usecond": 1, "ms": 1e3, "msecond": 1e3, "s": 1e6, "second": 1e6}
NOT_PERMITTED = """\
this user may not read the GPU's counters (ERR_NVGPUCTRPERM). Run it as root, or have root load the \
driver with NVreg_RestrictProfilingToAdminUsers=0, or give the container CAP_SYS_ADMIN; without counters, \
`tilewise-gpu bench` still measures time and energy, and notebooks_data/ has counters that were recorded"""


def columns_of(metrics):
    return [column for column, _ in metrics.values()]


def launches(log, metrics):
    """Yields (kernel name, {column: value}) from the log of `ncu --csv --page raw`."""
    lines = [line for line in log.splitlines() if line.startswith('"')]
    rows = csv.DictReader(lines)
    units = next(rows, None)
    if units is None or any(metric not in units for metric in metrics):
        raise ValueError("ncu printed no table with the metrics that were asked for")
    for row in rows:
        values = {}
        for metric, (column, factor) in metrics.items():
            values[column] = float(row[metric].replace(",", "")) * UNITS[units[metric]] * factor
        yield row["Kernel Name"], values


def cases(log, metrics):
    """One dictionary of sums per case."""
    result = []
    for name, values in launches(log, metrics):
        if re.search(r"\btw_init_case\b", name):
            result.append(dict.fromkeys(columns_of(metrics), 0.0))
        elif not re.search(r"\btw_init_", name):
            if not result:
                raise ValueError(f"{name} ran before the first case")
            for column in values:
                result[-1][column] += values[column]
    return result


def join(log, cases_text, command, start):
    """The CSV: the rows that `tilewise-gpu launch` wrote, how they began if not flushed, the sums behind them."""
    metrics = STARTS[start][0]
    columns = columns_of(metrics)
    lines = cases_text.splitlines()
    comments = [line for line in lines if line.startswith("#") and not line.startswith("# command:")]
    header, *rows = [line for line in lines if not line.startswith("#")]
    sums = cases(log, metrics)
    if len(sums) != len(rows):
        raise ValueError(f"{len(rows)} cases were launched, but ncu saw {len(sums)}")
    if start != "flushed":
        header, rows = f"{header},start", [f"{row},{start}" for row in rows]
    out = comments + [f"# command: {command}", ",".join([header] + columns)]
    for row, values in zip(rows, sums):
        out.append(",".join([row] + [f"{values[c]:.3f}" if c.endswith("_us") else f"{values[c]:.0f}" for c in columns]))
    return "\n".join(out) + "\n"


def profile(ncu, replay, start, program, command, options, folder):
    """Runs the cases under ncu; returns its log and the cases."""
    metrics, cache_control, more = STARTS[start]
    log, cases_csv = os.path.join(folder, "ncu.log"), os.path.join(folder, "cases.csv")
    done = subprocess.run([ncu, "--csv", "--page", "raw", "--print-units", "base", "--clock-control", "none",
                           "--profile-from-start", "off", "--replay-mode", replay,
                           "--cache-control", cache_control,
                           "--metrics", ",".join(metrics), "--log-file", log,
                           program, command, "--csv", cases_csv, *more, *options],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    text = open(log, encoding="utf-8").read() if os.path.exists(log) else ""
    if "ERR_NVGPUCTRPERM" in text + done.stdout:
        fail(NOT_PERMITTED)
    if not os.path.exists(cases_csv):
        said = [line for line in (done.stdout + text).splitlines() if line.strip() and not line.startswith("==PROF==")]
        fail(said[0].removeprefix("tilewise-gpu: ") if said else "ncu ran nothing and said nothing")
    return text, open(cases_csv, encoding="utf-8").read()


def main():
    arguments = sys.argv[1:]
    if not arguments or "--help" in arguments:
        print(__doc__.strip())
        return
    command = " ".join(["counters.py", *arguments])
    try:
        if arguments[0] == "--parse" and len(arguments) == 3:
            log, cases_text = (open(path, encoding="utf-8").read() for path in arguments[1:])
            sys.stdout.write(join(log, cases_text, command, "flushed"))
            return
        program = take(arguments, "--program", "build/tilewise-gpu")
        ncu = take(arguments, "--ncu", "ncu")
        replay = take(arguments, "--replay", "kernel")
        subcommand = take(arguments, "--command", "launch")
        start = take(arguments, "--start", "flushed")
        path = take(arguments, "--csv", None)
        if subcommand not in ("launch", "calibrate"):
            fail(f"--command is '{subcommand}', it must be launch or calibrate")
        if replay not in ("kernel", "application"):
            fail(f"--replay is '{replay}', it must be kernel or application")
        if start not in STARTS:
            fail(f"--start is '{start}', it must be flushed or warm")
        if start != "flushed" and subcommand != "launch":
            fail(f"--start is '{start}', with --command {subcommand} it must be flushed")
        need_csv(path, "counters")
        need_program(ncu, "Nsight Compute comes with the CUDA toolkit")
        need_program(program, "make gpu builds it")
        with tempfile.TemporaryDirectory() as folder:
            write_whole(path, join(*profile(ncu, replay, start, program, subcommand, arguments, folder), command, start))
    except OSError as error:
        fail(f"{error.filename}: {error.strerror}")
    except (ValueError, KeyError) as error:
        fail(str(error))


if __name__ == "__main__":
    main()
