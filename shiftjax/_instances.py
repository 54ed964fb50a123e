"""From an embedding to instances in one call."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from shiftjax._checks import fail, floating, integer
from shiftjax._host import host, with_batch
from shiftjax._patience import patience, silence
from shiftjax._typing import ArrayLike, Int, PRNGKeyArray
from shiftjax.clustering import mean_shift
from shiftjax.labelling import connected_components, drop_small, relabel


def instances(
    embedding: ArrayLike,
    *,
    bandwidth: int | float,
    foreground: ArrayLike | None = None,
    min_size: int = 0,
    key: PRNGKeyArray | None = None,
) -> Int[np.ndarray, "batch *space"]:
    """Finds instances: connected regions of foreground whose embeddings belong to one cluster.

    Each image of the batch is clustered by itself, by mean shift over all of its foreground. Embed the whole image
    first (`predict_tiled`): clusters of single tiles would differ from tile to tile.

    Args:
        embedding: floating point, `(batch, *space, channel)`.
        bandwidth: of the Gaussian kernel of mean shift, in units of the embedding.
        foreground: where instances may be, booleans `(batch, *space)`; everywhere by default.
        min_size: pixels of the smallest instance that is kept.
        key: draws the pixels that mean shift starts from; without it they are spread evenly.

    Returns:
        int32 labels `(batch, *space)`: 0 = background, in each image 1, 2, 3... by first pixel in raster order.

    Raises:
        ValueError: wrong shapes or options, or NaN in the embedding.
        TypeError: an embedding that is not floating point, or a foreground that is not boolean.

    Example:
        >>> import numpy as np
        >>> x = np.zeros((1, 1, 6, 1), np.float32)
        >>> x[0, 0, 3:] = 9
        >>> instances(x, bandwidth=0.5, foreground=np.array([[[1, 1, 0, 1, 1, 1]]], bool)).tolist()
        [[[1, 1, 0, 2, 2, 2]]]
    """
    floating("embedding", embedding)
    values: Any = host("embedding", embedding)
    if values.ndim < 3 or 0 in values.shape:
        fail("embedding", "a shape (batch, *space, channel) without empty axes", values.shape)
    with_batch("embedding", values.shape, channels=True)
    smallest = integer("min_size", min_size, least=0)
    inside = np.ones(values.shape[:-1], bool) if foreground is None else host("foreground", foreground)
    if inside.dtype != bool:
        raise TypeError(f"`foreground`: expected booleans, found {inside.dtype}; write `foreground > 0.5`, say.")
    if inside.shape != values.shape[:-1]:
        fail("foreground", f"the shape {values.shape[:-1]} of the embedding without its channels", inside.shape)
    codes = np.zeros(inside.shape, np.int32)
    for k, (pixels, mask) in enumerate(zip(values, inside, strict=True)):
        with patience(f"clustering {mask.sum()} pixels of image {k + 1} of {len(values)}"), silence():
            clusters = mean_shift(pixels, bandwidth=bandwidth, mask=mask, key=key)
            rests = bool(clusters.converged)  # waits for the result
        codes[k] = clusters.labels
        if not codes[k][mask].all():  # without a code these would be background
            expected = "a length that float32 can tell beside the embedding"
            fail(
                "bandwidth",
                expected,
                f"{bandwidth}, at which pixels of image {k} are in no cluster",
                "give a larger one",
            )
        if not rests and mask.any():
            warnings.warn(f"mean shift did not come to rest in image {k}; try a larger bandwidth", stacklevel=2)
    return np.asarray(relabel(drop_small(connected_components(codes), min_size=smallest)))
