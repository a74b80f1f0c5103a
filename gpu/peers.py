#!/usr/bin/env python3
"""Times the attention of PyTorch on one GPU: what a user would otherwise call.

usage: peers.py [--peers NAME,NAME] [--reps NUMBER] [--csv FILE]

    unfused         two batched products and a softmax: S and P go through HBM
    sdpa-efficient  scaled_dot_product_attention, memory-efficient back end
    sdpa-flash2     the same, FlashAttention-2
    sdpa-cudnn      the same, cuDNN

Shapes are the grid of notebooks_data/: 16k tokens in all, hidden size 2048. A time is the median of launches that are
timed one by one, each behind a kernel that keeps the GPU busy until the host has queued everything, as
`tilewise-gpu bench` does it. gpu/ladder.py takes functions from here to measure the same shapes in turn with this
repository's kernels.
"""
import ctypes
import io
import statistics
import sys
import threading
import time

from script import fail, need_csv, write_whole

try:
    import torch
    import torch.nn.functional as functional
    from torch.nn.attention import SDPBackend, sdpa_kernel
    WHY_NOT = None if torch.cuda.is_available() else "PyTorch finds no GPU"
except ImportError as error:
    WHY_NOT = f"PyTorch is missing ({error})"

NAMES = ["unfused", "sdpa-efficient", "sdpa-flash2", "sdpa-cudnn"]
SPIN_CYCLES = 1_000_000  # some 0.6 ms: more than PyTorch takes to queue a call
WARM_UP_CALLS = 5


class Shape:
    """Q is [batch, heads, seqlen_q, head_dim], as PyTorch has it; K and V alike."""

    def __init__(self, batch, heads, heads_kv, seqlen_q, seqlen_k, head_dim, dtype, causal):
        self.batch, self.heads, self.heads_kv = batch, heads, heads_kv
        self.seqlen_q, self.seqlen_k, self.head_dim = seqlen_q, seqlen_k, head_dim
        self.dtype, self.causal = dtype, causal

    def tensors(self):
        """Q, K and V of normal random numbers."""
        kind = {"device": "cuda", "dtype": {"fp16": torch.float16, "bf16": torch.bfloat16}[self.dtype]}
        torch.manual_seed(1)
        return (torch.randn(self.batch, self.heads, self.seqlen_q, self.head_dim, **kind),
                torch.randn(self.batch, self.heads_kv, self.seqlen_k, self.head_dim, **kind),
                torch.randn(self.batch, self.heads_kv, self.seqlen_k, self.head_dim, **kind))

    def flops(self):
        """4 FLOPs a pair of query and key and head dimension; half of the square when causal."""
        return 4 * self.batch * self.heads * self.seqlen_q * self.seqlen_k * self.head_dim // (1 + self.causal)

    def bytes_once(self):
        """Q, K, V and O, 2 bytes an element, each moved once."""
        rows = 2 * self.heads * self.seqlen_q + 2 * self.heads_kv * self.seqlen_k
        return 2 * self.batch * self.head_dim * rows


def unfused(shape, q, k, v):
    """S = scale Q Kᵀ, a mask added, softmax, P V: three steps, as a first version does it."""
    if shape.heads != shape.heads_kv:
        raise RuntimeError("unfused takes as many key/value heads as query heads")
    q, k, v = (x.reshape(-1, x.shape[2], shape.head_dim) for x in (q, k, v))
    mask = torch.zeros(shape.seqlen_q, shape.seqlen_k, device="cuda", dtype=q.dtype)
    if shape.causal:
        mask.masked_fill_(torch.ones_like(mask, dtype=torch.bool).triu(1), float("-inf"))
    mask, beta, scale = mask.expand(q.shape[0], -1, -1), int(shape.causal), shape.head_dim ** -0.5
    return lambda: torch.bmm(torch.baddbmm(mask, q, k.transpose(1, 2), beta=beta, alpha=scale).softmax(-1), v)


def sdpa(backend, shape, q, k, v):
    """scaled_dot_product_attention, held to one back end."""
    def call():
        with sdpa_kernel(backend):
            return functional.scaled_dot_product_attention(q, k, v, is_causal=shape.causal,
                                                           enable_gqa=shape.heads != shape.heads_kv)
    return call


def make_call(name, shape):
    """A function that computes one attention, everything else prepared."""
    if shape.causal and shape.seqlen_q != shape.seqlen_k:
        raise RuntimeError("PyTorch aligns a causal mask top-left: only squares compare")
    tensors = shape.tensors()
    if name == "unfused":
        return unfused(shape, *tensors)
    return sdpa({"sdpa-efficient": SDPBackend.EFFICIENT_ATTENTION, "sdpa-flash2": SDPBackend.FLASH_ATTENTION,
                 "sdpa-cudnn": SDPBackend.CUDNN_ATTENTION}[name], shape, *tensors)


def times_us(call, reps):
    """Microseconds of `reps` calls, each between two events."""
    for _ in range(WARM_UP_CALLS):
        call()
    torch.cuda.synchronize()
    result = []
    for _ in range(reps):
        start, stop = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        torch.cuda._sleep(SPIN_CYCLES)
        start.record()
        call()
        stop.record()
        stop.synchronize()
        result.append(1e3 * start.elapsed_time(stop))
    return result


class EnergyMeter:
    """The driver's energy counter of PyTorch's GPU; `read` is None where there is none."""

    def __init__(self):
        self.read = None
        try:
            nvml = ctypes.CDLL("libnvidia-ml.so.1")
            device, uuid = ctypes.c_void_p(), str(torch.cuda.get_device_properties(0).uuid)
            uuid = uuid if uuid.startswith("GPU-") else f"GPU-{uuid}"
            if nvml.nvmlInit_v2() == 0 and nvml.nvmlDeviceGetHandleByUUID(uuid.encode(), ctypes.byref(device)) == 0:
                self.read = lambda: self._millijoules(nvml, device)
        except (OSError, AttributeError):
            pass

    @staticmethod
    def _millijoules(nvml, device):
        value = ctypes.c_ulonglong()
        return value.value if nvml.nvmlDeviceGetTotalEnergyConsumption(device, ctypes.byref(value)) == 0 else None


def energy_mj(call, meter, time_us, seconds):
    """Millijoules a call, while calls run back to back: power between the counter's first and last step that were seen."""
    if meter.read is None:
        return None
    steps, done, begin = [], threading.Event(), time.monotonic()

    def watch():
        last = meter.read()
        while not done.is_set():
            now = meter.read()
            if now != last and now is not None and time.monotonic() - begin > 0.1 * seconds:
                steps.append((time.monotonic(), now))
            last = now
            time.sleep(0.001)

    watcher = threading.Thread(target=watch)
    calls = max(1, round(1e6 * seconds / time_us))
    start, stop = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    watcher.start()
    start.record()
    for _ in range(calls):
        call()
    stop.record()
    stop.synchronize()
    done.set()
    watcher.join()
    if len(steps) < 2:
        return None
    milliwatts = (steps[-1][1] - steps[0][1]) / (steps[-1][0] - steps[0][0])
    return milliwatts * 1e-3 * start.elapsed_time(stop) / calls


def grid():
    """The shapes of the pictures."""
    for head_dim in (64, 128):
        for seqlen in (512, 1024, 2048, 4096, 8192, 16384):
            for causal in (False, True):
                heads = 2048 // head_dim
                yield Shape(16384 // seqlen, heads, heads, seqlen, seqlen, head_dim, "fp16", causal)


def write_grid(out, names, reps):
    """One CSV row a peer and shape; what cannot run is a comment."""
    print("peer,pass,dtype,b,h,hkv,sq,sk,d,causal,ms,tflops,gbps", file=out)
    for shape in grid():
        for name in names:
            try:
                ms = 1e-3 * statistics.median(times_us(make_call(name, shape), reps))
            except RuntimeError as error:
                print(f"# {name}: {str(error).splitlines()[0][:120]}", file=out)
                continue
            print(f"{name},fwd,{shape.dtype},{shape.batch},{shape.heads},{shape.heads_kv},{shape.seqlen_q},"
                  f"{shape.seqlen_k},{shape.head_dim},{int(shape.causal)},{ms:.5f},{shape.flops() / ms / 1e9:.1f},"
                  f"{shape.bytes_once() / ms / 1e6:.1f}", file=out, flush=True)
            torch.cuda.empty_cache()


def main():
    """Reads the command line."""
    values = {"--peers": ",".join(NAMES), "--reps": "20", "--csv": "-"}
    arguments = sys.argv[1:]
    if "--help" in arguments or "-h" in arguments:
        print(__doc__.strip())
        return
    while arguments:
        name = arguments.pop(0)
        if name not in values:
            fail(f"'{name}' is not an option, it must be one of {', '.join(values)}")
        if not arguments:
            fail(f"{name} needs a value")
        values[name] = arguments.pop(0)
    names = values["--peers"].split(",")
    for name in names:
        if name not in NAMES:
            fail(f"unknown peer '{name}', it must be one of {', '.join(NAMES)}")
    if not values["--reps"].isdigit() or int(values["--reps"]) < 1:
        fail(f"--reps is '{values['--reps']}', it must be a number from 1 on")
    if values["--csv"] != "-":
        need_csv(values["--csv"], "times")
    if WHY_NOT:
        fail(WHY_NOT)
    out = io.StringIO() if values["--csv"] != "-" else sys.stdout
    print(f"# gpu: {torch.cuda.get_device_name(0)}\n# pytorch: {torch.__version__}", file=out)
    write_grid(out, names, int(values["--reps"]))
    if values["--csv"] != "-":
        write_whole(values["--csv"], out.getvalue())


if __name__ == "__main__":
    main()
