"""Empty figures, of the extra `plot`."""

from __future__ import annotations

from typing import Any

from shiftjax._extras import require


def new_figure(width: float, height: float) -> Any:
    """A `matplotlib.figure.Figure` of so many inches, outside of pyplot, so that nothing has to be closed."""
    return require("matplotlib.figure", "plot").Figure(figsize=(width, height), layout="constrained")
