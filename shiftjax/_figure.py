"""Empty figures, of the extra `plot`."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from shiftjax._extras import require


def new_figure(width: float, height: float) -> Any:
    """A `matplotlib.figure.Figure` of so many inches, outside of pyplot, so that nothing has to be closed."""
    return require("matplotlib.figure", "plot").Figure(figsize=(width, height), layout="constrained")


def stamp(numbers: Any) -> dict[str, str]:
    """What the file of a figure says of the numbers that it shows: a digest, by which the two can be compared.

    Args:
        numbers: what JSON can hold.
    """
    return {"Comment": hashlib.sha256(json.dumps(numbers, sort_keys=True).encode()).hexdigest()}
