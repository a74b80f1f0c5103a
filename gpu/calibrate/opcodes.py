#!/usr/bin/env python3
"""Do the microbenchmarks' loops hold the instructions that they claim to time? Read from the machine code.

usage: opcodes.py [--cuobjdump PROGRAM] FOLDER     FOLDER has the objects: build/gpu/calibrate

A compiler may merge what is equal, take it out of a loop, or leave out what nobody uses; a benchmark then times
nothing and says so by a rate that is too good. For each kernel below, one loop of it must hold at least so many
instructions of a kind. Exit status: 0 all do, 1 one does not, 2 could not be read.
"""
import os
import re
import shutil
import subprocess
import sys

# object, part of the kernel's name, opcode, how many one of its loops must hold
EXPECTED = [
    ("hbm", "tw_cal_hbm_read", "LDG.E.128", 4), ("hbm", "tw_cal_hbm_write", "STG.E.128", 4),
    ("hbm", "tw_cal_hbm_copy", "LDG.E.128", 4), ("hbm", "tw_cal_hbm_copy", "STG.E.128", 4),
    ("l2_rate", "tw_cal_l2_readILi0", "LDG.E.128.STRONG.GPU", 4), ("l2_rate", "tw_cal_l2_readILi1", "LDG.E.128.STRONG.GPU", 4),
    ("l2_rate", "tw_cal_l2_readILi2", "LDG.E.128.STRONG.GPU", 4), ("l2_rate", "tw_cal_l2_readILi3", "LDG.E.128.STRONG.GPU", 4),
    ("l2_sides", "tw_cal_time_pages", "ATOMG.E.ADD", 6), ("l2_sides", "tw_cal_time_pages", "CS2R", 12),
    ("l2_sides", "tw_cal_time_units", "ATOMG.E.ADD", 6),
    ("l2_sides", "tw_cal_time_loads", "LDG.E.STRONG.GPU", 1), ("l2_sides", "tw_cal_time_loads", "CS2R", 2),
    ("l2_hits", "tw_cal_count_hits", "LDG.E.STRONG.GPU", 1), ("l2_hits", "tw_cal_count_hits", "CS2R", 2),
    ("l2_cross", "tw_cal_write_pages", "STG.E.128", 8),
    ("smem", "tw_cal_read_smem", "LDS.128", 8),
    ("pipes", "tw_cal_pipe_loopIL11tw_cal_pipe0|tw_cal_pipe_loopILi0", "FFMA", 256),
    ("pipes", "tw_cal_pipe_loopIL11tw_cal_pipe1|tw_cal_pipe_loopILi1", "FMNMX", 256),
    ("pipes", "tw_cal_pipe_loopIL11tw_cal_pipe2|tw_cal_pipe_loopILi2", "MUFU.EX2", 256),
    ("pipes", "tw_cal_pipe_loopIL11tw_cal_pipe3|tw_cal_pipe_loopILi3", "F2FP.F16.F32.PACK_AB", 256),
    ("mma", "tw_cal_mma_loopI6__half", "HMMA.16816.F32", 8),
    ("mma", "tw_cal_mma_loopI13__nv_bfloat16", "HMMA.16816.F32.BF16", 8),
    ("wgmma", "tw_cal_wgmma_loopILi0ELb0", "HGMMA.64x256x16.F32", 8), ("wgmma", "tw_cal_wgmma_loopILi1ELb0", "HGMMA.64x256x16.F32.BF16", 8),
    ("wgmma", "tw_cal_wgmma_loopILi2ELb0", "QGMMA.64x256x32.F32.E4M3.E4M3", 8),
    ("wgmma", "tw_cal_wgmma_loopILi0ELb1", "HGMMA.64x256x16.F32", 8),
    ("copy", "tw_cal_copy_latency", "UBLKCP", 1), ("copy", "tw_cal_copy_rate", "UBLKCP", 1),
]
# a softmax step of N keys: a thread has N/2 scores, two rows, N/4 pairs
for keys, groups in [(64, "ELi1ELb0"), (80, "ELi1ELb0"), (96, "ELi1ELb0"), (128, "ELi1ELb0"), (176, "ELi1ELb0"), (192, "ELi1ELb0"),
                     (64, "ELi1ELb1"), (128, "ELi1ELb1"), (192, "ELi1ELb1"), (64, "ELi2ELb0"), (128, "ELi2ELb0"),
                     (64, "ELi2ELb1"), (128, "ELi2ELb1"), (64, "ELi3ELb0"), (128, "ELi3ELb0"), (64, "ELi3ELb1")]:
    kernel = f"tw_cal_softmax_stepILi{keys}{groups}"
    EXPECTED += [("softmax", kernel, "MUFU.EX2", keys // 2 + 2), ("softmax", kernel, "FMNMX", keys // 2 + 2),
                 ("softmax", kernel, "F2FP.F16.F32.PACK_AB", keys // 4), ("softmax", kernel, "FADD", keys // 2 - 2)]
    if groups.endswith("Lb1"):
        EXPECTED.append(("softmax", kernel, "HGMMA.64x128x16.F32", 16))


def fail(line):
    print(f"opcodes.py: {line}", file=sys.stderr)
    sys.exit(2)


def functions(cuobjdump, path):
    """{name: [(address, opcode, target of a branch or None)]} of the machine code for sm_90a."""
    done = subprocess.run([cuobjdump, "-sass", "-arch", "sm_90a", path], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, check=False)
    if done.returncode != 0:
        fail(f"{cuobjdump} cannot read {path}: {done.stderr.strip().splitlines()[:1]}")
    found, current = {}, None
    for line in done.stdout.splitlines():
        name = re.match(r"\s*Function : (\S+)", line)
        if name:
            current = found.setdefault(name.group(1), [])
            continue
        instruction = re.match(r"\s*/\*([0-9a-f]{4,})\*/\s+(?:@!?U?P\w+\s+)?([A-Z][\w.]*)(.*?);", line)
        if instruction and current is not None:
            address, opcode, rest = instruction.groups()
            target = re.search(r"0x([0-9a-f]+)", rest) if opcode == "BRA" else None
            current.append((int(address, 16), opcode, int(target.group(1), 16) if target else None))
    return found


def most_in_a_loop(instructions, opcode):
    """How many instructions of a kind one loop holds, at most; a loop is what a backward branch encloses."""
    loops = [(target, address) for address, _, target in instructions if target is not None and target < address]
    return max((sum(begin <= address <= end and (op == opcode or op.startswith(opcode + ".")) for address, op, _ in instructions)
                for begin, end in loops), default=0)


def main():
    arguments = sys.argv[1:]
    cuobjdump = "cuobjdump"
    if arguments[:1] == ["--cuobjdump"] and len(arguments) > 1:
        cuobjdump, arguments = arguments[1], arguments[2:]
    if len(arguments) != 1 or arguments[0].startswith("-"):
        print(__doc__.strip())
        sys.exit(0 if arguments == ["--help"] else 2)
    if shutil.which(cuobjdump) is None:
        fail(f"'{cuobjdump}' is not there: it comes with the CUDA toolkit")
    code, wrong = {}, 0
    for name, kernel, opcode, wanted in EXPECTED:
        path = os.path.join(arguments[0], f"{name}.o")
        if not os.path.exists(path):
            fail(f"{path} is not there: make gpu builds it")
        if name not in code:
            code[name] = functions(cuobjdump, path)
        matching = [f for f in code[name] if re.search(kernel, f)]
        if len(matching) != 1:
            print(f"{name}: {len(matching)} kernels are called {kernel}, there must be 1")
            wrong += 1
            continue
        seen = most_in_a_loop(code[name][matching[0]], opcode)
        if seen < wanted:
            print(f"{matching[0]}: a loop holds {seen} {opcode}, it must hold {wanted}")
            wrong += 1
    print(f"{len(EXPECTED) - wrong} of {len(EXPECTED)} loops hold what they are to time")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
