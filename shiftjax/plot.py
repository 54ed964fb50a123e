"""Pictures of embeddings, labels and seams, with the extra `plot`; certificates and plans have a `plot()` too."""

from __future__ import annotations

from typing import Any

import numpy as np

from shiftjax._checks import array, fail, images
from shiftjax._colours import colours, label_colours
from shiftjax._figure import new_figure
from shiftjax.metrics import seam_disagreement
from shiftjax.tiling import TilePlan


def embedding(embedding: Any, *, foreground: Any = None) -> Any:
    """An embedding as colours: pixels of one colour are of one object, as far as the network can tell.

    Args:
        embedding: `(batch, *space, channel)`, of which the first image is drawn, a volume by its middle plane.
        foreground: a mask or labels `(batch, *space)`; the other pixels are dimmed, and choose no colours.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ValueError: shapes that do not match.
        ImportError: matplotlib is missing.
    """
    images("embedding", embedding)
    seen = _plane(np.asarray(embedding)[0], channels=True)
    objects = np.ones(seen.shape[:-1], bool) if foreground is None else _like("foreground", foreground, embedding) > 0
    return _picture(colours(seen, objects))


def labels(labels: Any, *, image: Any = None) -> Any:
    """Labels as random colours, the background black; beside the image, if it is given.

    Args:
        labels: integers `(batch, *space)`, 0 = background; the first is drawn, a volume by its middle plane.
        image: `(batch, *space, channel)`, of which the first channel is drawn.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ValueError: shapes that do not match, or labels that are not integers from 0 on.
        ImportError: matplotlib is missing.
    """
    coloured = label_colours(_labels(labels))
    if image is None:
        return _picture(coloured)
    images("image", image)
    if tuple(np.shape(image)[:-1]) != tuple(np.shape(labels)):
        mend = "an image of one channel is `image[None, ..., None]`"
        fail("image", f"{np.shape(labels)} and channels, as the labels", str(np.shape(image)), mend)
    return _picture(_plane(np.asarray(image)[0], channels=True)[..., 0], coloured)


def seams(labels: Any, plan: TilePlan, *, true: Any = None) -> Any:
    """Labels with the borders of the tiles, and how often objects are cut at each place within a tile.

    A peak at 0 is a seam. Peaks at multiples of the period come from a training window of one period or less.

    Args:
        labels: integers `(batch, *space)`, 0 = background, predicted with the plan.
        plan: of the tiles.
        true: true labels, as `seam_disagreement` takes them.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ValueError: as `seam_disagreement`; or an image of one axis.
        ImportError: matplotlib is missing.
    """
    found = seam_disagreement(labels, plan, true=true)
    coloured = label_colours(_labels(labels))
    figure = new_figure(11, 5)
    picture, profile = figure.subplots(1, 2)
    _show(picture, coloured)
    for axis, line in zip((-2, -1), (picture.axhline, picture.axvline), strict=True):
        for pixel in range(plan.origin[axis], coloured.shape[axis + 2], plan.tile_stride[axis]):
            line(pixel - 0.5, color="white", linewidth=0.8, linestyle=(0, (2, 2)))
    picture.set_title("tiles meet at the dashed lines", fontsize=9)
    for axis, rates in enumerate(found.profile):
        profile.plot(rates, marker=".", label=f"axis {axis}")
    profile.set(
        xlabel="pixel within a tile; 0 is where tiles meet",
        ylabel="share of neighbours of one object that are cut apart",
    )
    told = f"{found.value:.2f} (0: none, 1: every object is cut)" if found.value == found.value else "cannot be told"
    profile.set_title(f"seams: {told}", fontsize=9)
    profile.legend(fontsize=8)
    return figure


def _labels(labels: Any) -> np.ndarray:
    host = np.asarray(array("labels", labels))
    if host.ndim < 3 or host.dtype.kind not in "iu" or (host.size and host.min() < 0):
        expected = "integers from 0 on, (batch, *space) with two axes of space or more"
        mend = "add a batch axis in front: `labels[None]`" if host.ndim == 2 and host.dtype.kind in "iu" else ""
        fail("labels", expected, f"{host.dtype} {host.shape}", mend)
    return _plane(host[0], channels=False)


def _like(name: str, mask: Any, embedding: Any) -> np.ndarray:
    if tuple(np.shape(mask)) != tuple(np.shape(embedding)[:-1]):
        fail(name, f"shape {tuple(np.shape(embedding)[:-1])}, as the embedding without channels", str(np.shape(mask)))
    return _plane(np.asarray(mask)[0], channels=False)


def _plane(space: np.ndarray, *, channels: bool) -> np.ndarray:
    """Two axes of space: the middle plane of more."""
    while space.ndim > 2 + channels:
        space = space[len(space) // 2]
    if space.ndim < 2 + channels:
        fail("image", "two axes of space or more", f"{space.ndim - channels}")
    return space


def _picture(*panels: np.ndarray) -> Any:
    height, width = panels[0].shape[:2]
    figure = new_figure(4.5 * len(panels), 4.5 * min(2.0, height / width))
    for panel, shown in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        _show(panel, shown)
    return figure


def _show(panel: Any, shown: np.ndarray) -> None:
    panel.imshow(shown, cmap="gray", interpolation="nearest")
    panel.set(xticks=[], yticks=[])
