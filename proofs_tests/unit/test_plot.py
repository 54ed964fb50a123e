"""Pictures show the numbers that they are of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import shiftjax as sj
from shiftjax import plot
from shiftjax._colours import label_colours


def pairs(x: jax.Array) -> jax.Array:
    """Maxima of two pixels, in the places of both, and a border that pads."""
    pooled = jnp.maximum(x[:, ::2], x[:, 1::2])
    return jnp.repeat(jnp.pad(pooled, ((0, 0), (1, 1), (0, 0))), 2, axis=1)


def twice(x: jax.Array) -> jax.Array:
    return x[:, 1:-1, 2:] * 2.0


def bars(panel: Any) -> list[tuple[float, float]]:
    """Left and right end of each bar."""
    return [(p.get_x(), p.get_x() + p.get_width()) for p in panel.patches]


def test_a_certificate_shows_its_fields_and_its_window() -> None:
    cert = sj.certify(pairs, jax.ShapeDtypeStruct((1, 12, 1), np.float32))
    (axis,) = cert.axes
    fields, window = cert.plot().axes
    read = [(2 * m + axis.lo[r] - 0.5, 2 * m + axis.hi[r] + 0.5) for m in (0, 1) for r in (0, 1)]
    assert bars(fields) == read
    assert read[0] != read[2]  # control: the second turn lies further on
    assert bars(window) == [(0.0, float(axis.out)), tuple(map(float, axis.exact))]
    assert axis.exact != (0, axis.out)


def test_a_plan_shows_what_a_tile_reads_and_keeps() -> None:
    plan = sj.plan_tiles(twice, (1, 40, 30, 1), tile=(8, 10))
    (panel,) = plan.plot().axes
    boxes = {p.get_label(): (p.get_y(), p.get_x(), p.get_height(), p.get_width()) for p in panel.patches}
    (top, _), (left, _) = plan.pad_width[1:-1]
    row, column = (n // 2 * t for n, t in zip(plan.grid, plan.tile_stride, strict=True))
    assert boxes["image"] == (-0.5, -0.5, 40, 30)
    assert boxes["and keeps"] == (row - 0.5, column - 0.5, *plan.tile_output)
    assert boxes["one tile reads"] == (row - top - 0.5, column - left - 0.5, *plan.tile_input)
    assert len(panel.lines) == sum(plan.grid) + 2
    strip = sj.plan_tiles(lambda x: x[:, 1:], (1, 40, 1), tile=8).plot().axes[0]
    assert len(strip.lines) == 2 + 6


def test_a_stream_shows_a_strip_and_a_step() -> None:
    plan = sj.plan_tiles(twice, (1, 40, 30, 1), tile=(8, 10), stream=0)
    (panel,) = plan.plot().axes
    boxes = {p.get_label(): (p.get_y(), p.get_x(), p.get_height(), p.get_width()) for p in panel.patches}
    assert "one tile reads" not in boxes
    assert boxes["one strip reads"][0] == -plan.pad_width[1][0] - 0.5
    assert boxes["one strip reads"][2] == 8 * (plan.grid[0] + plan.filling)
    assert boxes["one step of it"][2] == boxes["what a step gives"][2] == 8
    assert boxes["one step of it"][3] == plan.tile_input[1] > boxes["what a step gives"][3] == 10
    assert panel.get_title().startswith("3 strips along axis 0, 6 steps each")


def test_seams_are_drawn_where_tiles_meet() -> None:
    plan = sj.plan_tiles(twice, (1, 16, 20, 1), tile=(8, 10))
    labels = np.zeros((1, 16, 20), np.int32)
    labels[0, 2:14, 2:9], labels[0, 4:12, 11:18] = 1, 2
    picture, profile = plot.seams(labels, plan, true=labels).axes
    assert [line.get_ydata()[0] for line in picture.lines if line.get_xdata() == [0, 1]] == [-0.5, 7.5]
    uncut = [line.get_ydata() for line in profile.lines]
    assert np.nanmax(np.concatenate(uncut)) == 0
    labels[0, 8:14, 2:9] = 3  # control: cut between the tiles
    _, profile = plot.seams(labels, plan, true=np.minimum(labels, 2) - (labels == 3)).axes
    assert profile.lines[0].get_ydata()[0] > 0


def test_colours_tell_objects_apart() -> None:
    embedding = np.zeros((1, 6, 6, 2), np.float32)
    embedding[0, :3, :, 0], embedding[0, 3:, :, 1] = 5, 5
    (shown,) = plot.embedding(embedding).axes[0].images
    colours = np.asarray(shown.get_array())
    assert np.ptp(colours[:3].reshape(-1, 3), axis=0).max() == 0
    assert abs(colours[0, 0] - colours[5, 0]).max() > 0.5
    drawn = plot.labels(np.full((1, 4, 4), 2**31 - 1, np.int32), image=np.ones((1, 4, 4, 1)))
    assert len(drawn.axes) == 2
    black = label_colours(np.zeros((2, 2), np.int32))
    assert not black.any()
    assert label_colours(np.ones((2, 2), np.int32)).any()  # control


def test_a_volume_is_drawn_by_its_middle_plane() -> None:
    labels = np.zeros((1, 5, 4, 4), np.int32)
    labels[0, 2] = 1
    (shown,) = plot.labels(labels).axes[0].images
    assert np.asarray(shown.get_array()).all()


BAD: dict[str, Callable[[], Any]] = {
    "labels of floats": lambda: plot.labels(np.zeros((1, 4, 4))),
    "negative labels": lambda: plot.labels(np.full((1, 4, 4), -1)),
    "labels without a batch": lambda: plot.labels(np.zeros((4, 4), int)),
    "image of another size": lambda: plot.labels(np.zeros((1, 4, 4), int), image=np.zeros((1, 4, 5, 1))),
    "mask of another size": lambda: plot.embedding(np.zeros((1, 4, 4, 2)), foreground=np.zeros((1, 4, 5))),
    "one axis of space": lambda: plot.embedding(np.zeros((1, 4, 2))),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused_in_words(name: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        BAD[name]()


def test_without_matplotlib_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"shiftjax\[plot\]"):
        plot.labels(np.zeros((1, 4, 4), int))
