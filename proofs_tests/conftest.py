"""Every test runs with shapes checked at run time, warnings as errors, and exact arithmetic on the CPU."""

import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")

from jaxtyping import install_import_hook

install_import_hook("shiftjax", "beartype.beartype")
