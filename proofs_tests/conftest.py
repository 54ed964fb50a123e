"""Every test runs with shapes checked at run time, warnings as errors, and exact arithmetic on the CPU."""

import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")  # compilation dominates; int32 does not care

from jaxtyping import install_import_hook

install_import_hook("shiftjax", "beartype.beartype")
