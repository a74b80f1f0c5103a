#!/usr/bin/env python3
"""Measures every rung and PyTorch's attention in turn, round after round, and writes one CSV file.

usage: ladder.py [--program tilewise-gpu] [--cases FILE] [--rounds NUMBER] [--no-peers] --csv FILE

`tilewise-gpu ladder` measures its cases and waits; then this script measures the peers (gpu/peers.py) on the same
shapes; then comes the next round. Whatever the GPU does meanwhile, clock and heat, falls on all of them alike. Both
processes keep their place on the GPU, but only one of them works at a time. Energy is measured in the last round.
Without PyTorch the peers are left out, and a comment says so.
"""
import statistics
import subprocess
import sys

from script import fail, need_csv, need_program, take, write_whole

# FlashAttention-2 and cuDNN are measured on every shape, the unfused one where the strong unfused rung is.
PEERS = ["sdpa-flash2", "sdpa-cudnn"]
UNFUSED, UNFUSED_BESIDE = "unfused", "01_standard_cublas"
REPS = 20
ENERGY_SECONDS = 1.2
HEADER = ("round,algorithm,machine,batch,num_heads,num_heads_kv,seqlen_q,seqlen_k,head_dim,dtype,causal,block_m,"
          "block_n,kernel,time_us,time_min_us,time_max_us,energy_mj,sm_clock_mhz")
SHAPE_COLUMNS = HEADER.split(",")[3:11]  # batch … causal


class Rungs:
    """`tilewise-gpu ladder`, a round at a time."""

    def __init__(self, program, cases, rounds):
        command = [program, "ladder", "--cases", cases, "--rounds", str(rounds), "--paced", "--csv", "-"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.comments = []
        for line in self.process.stdout:
            if line.rstrip("\n") == HEADER:
                return
            self.comments.append(line.rstrip("\n"))
        self._ended()

    def _ended(self):
        """It says on stderr what was wrong."""
        self.process.stdin.close()
        sys.exit(self.process.wait() or 2)

    def round(self, number):
        """Rows of one round, comments among them."""
        try:
            self.process.stdin.write("go\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            self._ended()
        rows = []
        for line in self.process.stdout:
            line = line.rstrip("\n")
            if line == f"# round {number} done":
                return rows
            rows.append(line)
        self._ended()
        return rows

    def end(self):
        """Waits for it; its exit status is this script's if it is not 0."""
        self.process.stdin.close()
        code = self.process.wait()
        if code != 0:
            sys.exit(code)


def shapes_of(rows):
    """(shape columns, is the strong unfused rung among its kernels, is energy wanted), in the order of the rows."""
    found = {}
    for row in rows:
        fields = dict(zip(HEADER.split(","), row.split(",")))
        if row.startswith("#") or fields["kernel"] == "matrix_product":
            continue
        key = tuple(fields[c] for c in SHAPE_COLUMNS)
        seen = found.setdefault(key, set())
        seen.add(fields["kernel"])
        if fields["energy_mj"]:
            seen.add("energy")
    return [(key, UNFUSED_BESIDE in seen, "energy" in seen) for key, seen in found.items()]


def peer_row(number, name, key, us, energy):
    """A row like those of the rungs."""
    energy = "" if energy is None else f"{energy:.5g}"
    return (f"{number},peer,pytorch,{','.join(key)},0,0,{name},{statistics.median(us):.3f},{min(us):.3f},"
            f"{max(us):.3f},{energy},")


def measure_peers(peers, meter, number, rows):
    """Rows of the peers on the shapes of a round."""
    result = []
    for key, with_unfused, with_energy in shapes_of(rows):
        batch, heads, heads_kv, seqlen_q, seqlen_k, head_dim = (int(x) for x in key[:6])
        shape = peers.Shape(batch, heads, heads_kv, seqlen_q, seqlen_k, head_dim, key[6], key[7] == "1")
        for name in [UNFUSED] * with_unfused + PEERS:
            try:
                call = peers.make_call(name, shape)
                us = peers.times_us(call, REPS)
                energy = peers.energy_mj(call, meter, statistics.median(us), ENERGY_SECONDS) if with_energy else None
                result.append(peer_row(number, name, key, us, energy))
            except RuntimeError as error:
                result.append(f"# {name} is left out on {' '.join(key)}: {str(error).splitlines()[0][:120]}")
            call = None
            peers.torch.cuda.empty_cache()
    return result


def load_peers(wanted):
    """The module and a comment, or None and why not."""
    if not wanted:
        return None, "# peers: left out, as was asked for"
    import peers
    if peers.WHY_NOT:
        print(f"left out: the peers, because {peers.WHY_NOT}", file=sys.stderr)
        return None, f"# peers: left out, {peers.WHY_NOT}"
    return peers, f"# pytorch: {peers.torch.__version__}"


def measure(program, cases, rounds, with_peers):
    """All lines of the CSV file. The rungs' doctor looks at the GPU before PyTorch comes onto it."""
    rungs = Rungs(program, cases, rounds)
    peers, comment = load_peers(with_peers)
    meter = peers.EnergyMeter() if peers else None
    rows = []
    for number in range(1, rounds + 1):
        own = rungs.round(number)
        rows += own + (measure_peers(peers, meter, number, own) if peers else [])
        print(f"round {number} of {rounds} done", file=sys.stderr, flush=True)
    rungs.end()
    return [line for line in rungs.comments if not line.startswith("# command:")] + [comment], rows


def main():
    """Reads the command line."""
    arguments = sys.argv[1:]
    if not arguments or "--help" in arguments or "-h" in arguments:
        print(__doc__.strip())
        return
    command = "# command: " + " ".join(["ladder.py", *arguments])
    program = take(arguments, "--program", "build/tilewise-gpu")
    cases = take(arguments, "--cases", "notebooks_data/cases/ladder.txt")
    rounds = take(arguments, "--rounds", "5")
    path = take(arguments, "--csv", None)
    with_peers = "--no-peers" not in arguments
    arguments = [a for a in arguments if a != "--no-peers"]
    if arguments:
        fail(f"'{arguments[0]}' is not an option; ladder.py --help shows those there are")
    need_csv(path, "measurements")
    if not rounds.isdigit() or int(rounds) < 1:
        fail(f"--rounds is '{rounds}', it must be a number from 1 on")
    need_program(program, "make gpu builds it")
    comments, rows = measure(program, cases, int(rounds), with_peers)
    write_whole(path, "\n".join(comments + [command, HEADER] + rows) + "\n")


if __name__ == "__main__":
    main()
