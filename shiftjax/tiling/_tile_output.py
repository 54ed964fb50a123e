"""What is kept of the outputs of a function."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from shiftjax.certifier import Certificate
from shiftjax.tiling._exact_window import windows

Index = tuple[slice, ...]


@dataclass(frozen=True)
class TileOutput:
    """One output array of the function.

    Attributes:
        name: its name in the pytree that the function returns; empty where that is one array.
        channels: size of its last axis.
        dtype: name of its type.
        crop: what is kept of a tile's output, as an index of `(batch, *space, channel)`.
        whole_crop: what lies over the image in the output on the whole padded image, as such an index.
    """

    name: str
    channels: int
    dtype: str
    crop: Index
    whole_crop: Index


def tile_outputs(
    certificate: Certificate, dtypes: Sequence[str], tile: Sequence[int], space: Sequence[int]
) -> tuple[TileOutput, ...]:
    """One entry per output array.

    Args:
        certificate: of the function at a tile's shape.
        dtypes: of the outputs.
        tile: output pixels of a tile that are kept, per axis.
        space: pixels of the image, per axis.
    """
    exact = windows(certificate)
    outputs = []
    for k, (leaf, dtype) in enumerate(zip(certificate.leaves, dtypes, strict=True)):
        start = [window.start - window.offsets[k] for window in exact]
        outputs.append(TileOutput(leaf.name, leaf.shape[-1], dtype, _index(start, tile), _index(start, space)))
    return tuple(outputs)


def _index(start: Sequence[int], size: Sequence[int]) -> Index:
    return (slice(None), *(slice(a, a + n) for a, n in zip(start, size, strict=True)), slice(None))
