"""Whether images of one batch stay apart, so that tiles may share a call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax

from shiftjax.certifier._certify import certify
from shiftjax.certifier._refusal import CertificationError

NUMBERS = (1, 2, 3)  # images in the batches tried


def batchwise(fn: Callable[[Any], Any], x: Any, *, spatial_axes: Sequence[int] | None = None) -> bool:
    """Proves that `fn` treats each image of a batch alone, whatever else is in the batch and however many there are.

    The batch is taken for one more image axis, on which the certificate must be that of doing nothing; it must be the
    same map for one, two and three images, so that the number of images cannot enter either.

    Args:
        fn: as for `certify`.
        x: as for `certify`; its first axis is the batch, whatever its size.
        spatial_axes: as for `certify`.

    Returns:
        Whether the proof succeeds; False says that there is none, not that images are mixed.
    """
    space = tuple(range(1, len(x.shape) - 1)) if spatial_axes is None else tuple(spatial_axes)
    try:
        certs = [
            certify(fn, jax.ShapeDtypeStruct((n, *x.shape[1:]), x.dtype), spatial_axes=(0, *space)) for n in NUMBERS
        ]
    except (CertificationError, TypeError, ValueError):
        return False
    firsts = [(one.axes[0], n) for cert, n in zip(certs, NUMBERS, strict=True) for one in cert.outputs]
    alone = all(
        (a.period, a.phases, a.lo, a.hi, a.exact, a.output_axis) == (1, 1, (0,), (0,), (0, n), 0) for a, n in firsts
    )
    return alone and all(certs[0].same_map(other) for other in certs[1:])
