"""A single image without its batch axis is refused: taken for a batch of lines, it would be cut into its rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jaxtyping
import numpy as np
import pytest

import shiftjax as sj
from shiftjax._host import LINES

IMAGE = np.zeros((LINES + 2, 9), np.int32)
IMAGE[:9, 1:5], IMAGE[9:, 5:] = 1, 2
FOUND = IMAGE.copy()
FOUND[9, 5:] = 3
EMBEDDING = 9 * np.stack([IMAGE == 1, IMAGE == 2], -1).astype(np.float32)
CALLS: dict[str, Callable[[Callable[[np.ndarray], np.ndarray]], Any]] = {
    "average_precision": lambda a: sj.average_precision(a(IMAGE), a(FOUND)),
    "split_merge_counts": lambda a: sj.split_merge_counts(a(IMAGE), a(FOUND)),
    "connected_components": lambda a: sj.connected_components(a((IMAGE > 0).astype(np.int32))),
    "drop_small": lambda a: sj.drop_small(a(IMAGE), min_size=8),
    "relabel": lambda a: sj.relabel(a(5 * IMAGE)),
    "instances": lambda a: sj.instances(a(EMBEDDING), bandwidth=0.5, foreground=a(IMAGE > 0)),
}
of_one_image = lambda x: x[None]  # noqa: E731
of_lines = lambda x: x[:, None]  # noqa: E731


@pytest.fixture(autouse=True)
def own_errors():
    """Lets bad arguments reach the library's own checks, past the annotations."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.mark.parametrize("name", CALLS)
def test_an_image_without_its_batch_axis_is_refused(name):
    with pytest.raises(ValueError, match=r"at most 16 lines, found shape .*a single image is `\w+\[None\]`"):
        CALLS[name](lambda x: x)


@pytest.mark.parametrize("name", CALLS)
def test_control_a_few_lines_are_a_batch(name):
    few = CALLS[name](lambda x: x[4:14])
    apart = np.asarray(CALLS[name](lambda x: x[4:14, None]))
    assert np.array_equal(np.asarray(few).ravel(), apart.ravel())


@pytest.mark.parametrize("name", CALLS)
def test_control_its_rows_would_give_another_answer(name):
    """With what the error offers both meanings can be said, and they differ."""
    one, lines = (np.asarray(CALLS[name](axis)) for axis in (of_one_image, of_lines))
    assert not np.array_equal(one.ravel(), lines.ravel())


def test_objects_of_a_single_image_are_told_apart():
    np.testing.assert_array_equal(CALLS["connected_components"](of_one_image)[0], IMAGE)
    np.testing.assert_array_equal(CALLS["drop_small"](of_one_image)[0], IMAGE)
    np.testing.assert_array_equal(CALLS["relabel"](of_one_image)[0], IMAGE)
    np.testing.assert_array_equal(CALLS["instances"](of_one_image)[0], IMAGE)
