"""Files of `torch.export`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from shiftjax._checks import fail, told
from shiftjax.translation._torch.tensors import torch


def load(path: Path) -> Any:
    """The exported program of a .pt2 file."""
    try:
        return torch().export.load(path)
    except Exception as error:
        fail("path", "a file that `torch.export.save` wrote", f"{str(path)!r} ({told(error)})")
