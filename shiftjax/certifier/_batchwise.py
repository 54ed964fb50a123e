"""Whether images of one batch stay apart, so that tiles may share a call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax

from shiftjax.certifier._certify import certify
from shiftjax.certifier._refusal import CertificationError


def batchwise(
    fn: Callable[[Any], Any],
    x: Any,
    *,
    images: Sequence[int] = (1, 2, 3),
    spatial_axes: Sequence[int] | None = None,
    borders: bool = False,
) -> bool:
    """Proves that `fn` treats each image of a batch alone, whatever else is in the batch.

    The batch is taken for one more image axis, along which every output must read its own image and no other. The
    function must be the same map for each of these numbers of images: it may see how many there are, so nothing is said
    of other numbers.

    Args:
        fn: as for `certify`.
        x: `(batch, ...)` as for `certify`; its first axis is the batch, whatever its size.
        images: for which numbers of images in a batch.
        spatial_axes: as for `certify`.
        borders: whether what comes of the ends of an image counts, too, and not only what is exact.

    Returns:
        Whether it is proved; False does not say that images are mixed.
    """
    space = tuple(range(1, len(x.shape) - 1)) if spatial_axes is None else tuple(spatial_axes)
    try:
        certificates = [
            certify(fn, jax.ShapeDtypeStruct((n, *x.shape[1:]), x.dtype), spatial_axes=(0, *space)) for n in images
        ]
        if any(cert.left_out for cert in certificates):
            single = certify(fn, jax.ShapeDtypeStruct((images[0], *x.shape[1:]), x.dtype), spatial_axes=space)
            if any(not set(single.places) <= set(cert.places) for cert in certificates):
                return False
    except (CertificationError, TypeError, ValueError):
        return False
    batches = [(one.axes[0], n) for cert, n in zip(certificates, images, strict=True) for one in cert.outputs]
    alone = all(
        axis.pointwise and axis.exact == (0, n) and axis.out == n and axis.output_axis == 0 for axis, n in batches
    )
    # What nothing is known of may depend on anything.
    known = not borders or all(cert.knows_its_ends for cert in certificates)
    return alone and known and all(certificates[0].same_map(other, borders=borders) for other in certificates)
