"""From saved statistics to the function that they are of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax.numpy as jnp

from shiftjax._checks import fail
from shiftjax._network import network
from shiftjax.certifier import Cut
from shiftjax.freezing._file import described, read_statistics
from shiftjax.freezing._frozen import Frozen, unmeasured


def load_statistics(fn: Callable[[Any], Any], path: str | Path) -> Frozen:
    """Reads statistics of the whole image that `Frozen.save` wrote: those of one image serve a whole campaign.

    They are of pixels as the function is given them: what was preprocessed before it is not known here, and has to be
    done again to every image.

    Args:
        fn: the function that was frozen, with the same parameters.
        path: of the file.

    Returns:
        The frozen function, for images of any size `(batch, *space, channel)`.

    Raises:
        ValueError: no such file, or statistics of another function, or of other parameters.
        CertificationError: the function returns a statistic, or no output that follows the image.
    """
    fn = network("fn", fn)
    page, values = read_statistics(path)
    cut = Cut(fn, described(page["image_shape"], page["dtype"]))
    template = unmeasured(fn, cut, sample=page["sample"], remark=page["remark"])
    shapes = [list(one.shape) for one in cut.statistics]
    if shapes != [shape for _, _, shape in page["statistics"]] or cut.key(template.fn) != page["network"]:
        fail("fn", "the function that the statistics are of", "another one, or other parameters", "freeze it anew")
    if page["passes"] < cut.passes:
        fail(
            "path",
            f"statistics of {cut.passes} passes",
            f"a journal of {page['passes']}",
            "finish them by the same call",
        )
    return template.given(
        [jnp.asarray(value.astype(one.dtype)) for one, value in zip(cut.statistics, values, strict=True)]
    )
