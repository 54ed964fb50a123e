"""Windows of images and labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

Images = TypeVar("Images")


def window(images: Images, start: Sequence[int], size: Sequence[int]) -> Images:
    """`size` pixels of every spatial axis from pixel `start` on, of an array `(batch, *space, ...)`."""
    space = tuple(slice(a, a + n) for a, n in zip(start, size, strict=True))
    return images[(slice(None), *space)]  # type: ignore[index]
