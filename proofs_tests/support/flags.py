"""How XLA compiles for tests. No JAX here: its flags are read when it is loaded.

Compilation dominates, and int32 gives the same bits however it is compiled. Without fusion emitters XLA's CPU backend
compiles two to three times faster; two workers already keep both cores busy, so each compiles in one thread.
"""

from importlib.metadata import version

_FAST = ["backend_optimization_level=0", "cpu_parallel_codegen_split_count=1"]
if version("jaxlib").startswith("0.10."):  # later ones stop at a flag that they no longer know
    _FAST.append("cpu_use_fusion_emitters=false")

FAST = " ".join(f"--xla_{flag}" for flag in _FAST)
