"""The experiments of the paper, and what they need beyond the library."""

from shiftjax._extras import require as _require

_require("optax", "train")  # before the modules import it, so that a missing one is named in one sentence
