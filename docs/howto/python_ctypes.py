"""Calls the reference library from Python, without NumPy. First: make build/libtilewise_ref.so"""
import ctypes
import pathlib

library = ctypes.CDLL(str(pathlib.Path(__file__).resolve().parents[2] / "build" / "libtilewise_ref.so"))
library.tw_error_message.restype = ctypes.c_char_p


class Problem(ctypes.Structure):  # tw_problem of cpu_ref/problem.h
    _fields_ = [(name, ctypes.c_int) for name in
                ("batch", "num_heads", "num_heads_kv", "seqlen_q", "seqlen_k", "head_dim", "dtype")]
    _fields_ += [("causal", ctypes.c_bool), ("softmax_scale", ctypes.c_double)]
    _fields_ += [("more", ctypes.c_char * 512)]  # masks, packed sequences, dropout, …: room enough; 0 is off


problem = Problem(1, 1, 1, 2, 2, 2, causal=True, softmax_scale=1.0)  # two queries, two keys, head_dim 2
q, k, v = ((ctypes.c_double * 4)(*x) for x in ([1, 0, 0, 1], [1, 0, 0, 1], [1, 2, 3, 4]))
o, lse = (ctypes.c_double * 4)(), (ctypes.c_double * 2)()
if library.tw_attention_gold(o, lse, ctypes.byref(problem), q, k, v) != 0:
    raise SystemExit(library.tw_error_message().decode())
print("O  ", " ".join(f"{x:.6f}" for x in o))
print("LSE", " ".join(f"{x:.6f}" for x in lse))
