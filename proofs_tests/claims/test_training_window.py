"""A loss over windows of p pixels or fewer cannot see a map split objects where two periods meet; over p + 1 it can.

A window of w <= p output pixels whose first has phase 0 never holds a pixel of phase p - 1 and its right neighbour, of
phase 0; windows of w >= p + 1 hold every pair of neighbours. So for w <= p some map of period p has zero pull and push
on every window and yet splits every object smaller than p that lies in two cells of the period. On windows of p + 1 its
loss is positive if some object has two neighbouring pixels along an axis. So p + 1 is necessary for training to work;
it is not sufficient.
Hypotheses: phases counted from the window's first pixel, p >= 2, one window at a time, no regulariser.
Source: Rumberger et al., ICCV 2021, for the rule; the construction (`shiftjax.testing.splitting_map`) is ours.
Idea: give the part of an instance that lies in one cell of the period the phase of its first pixel as a name. Names
differ between the instances of a cell, and between the cells of an instance.
"""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from proofs_tests.support import record
from proofs_tests.support.profiles import fewer, half, more
from shiftjax import theory
from shiftjax._losses import discriminative_loss
from shiftjax.testing import splitting_map
from shiftjax.testing.strategies import seeds

PUSH, MOST = 4.0, 12  # distance between the embeddings of two names; instances, background included
Space = tuple[int, ...]


def scene(period: Space, seed: int) -> np.ndarray:
    """Boxes of random sizes from 2 pixels to one less than the period, later ones on top."""
    rng = np.random.default_rng(seed)
    labels = np.zeros([3 * p + 2 for p in period], np.int32)
    for label in range(1, MOST):
        size = [rng.integers(min(2, p - 1), p) for p in period]
        start = [rng.integers(0, n - s) for n, s in zip(labels.shape, size, strict=True)]
        labels[tuple(slice(a, a + s) for a, s in zip(start, size, strict=True))] = label
    return labels


def windows(labels: np.ndarray, window: Space) -> np.ndarray:
    """All windows of this size, `(number, *window)`."""
    view = np.lib.stride_tricks.sliding_window_view(labels, window)
    return view.reshape(-1, *window)


def loss(labels: np.ndarray, period: Space) -> np.ndarray:
    """Pull and push of the splitting map, with phases counted from each window's first pixel; summed over windows."""
    embedding = np.stack([splitting_map(part, period=period, push=PUSH) for part in labels])
    _, parts = discriminative_loss(
        embedding, labels, max_instances=MOST, delta_var=0.0, delta_dist=PUSH / 2, gamma=0.0, background="instance"
    )
    return np.asarray([parts.pull, parts.push])


def check(labels: np.ndarray, period: Space, window: Space) -> None:
    """Training sees nothing: pull and push are zero on every window."""
    total = loss(windows(labels, window), period)
    assert (total == 0).all(), f"windows of {window} have pull and push {total} at period {period}"


def crossing(labels: np.ndarray, period: Space) -> list[int]:
    """Instances of extent below the period that lie in two cells or more."""
    labels_across = []
    for label in range(1, MOST):
        pixels = np.argwhere(labels == label)
        small = len(pixels) > 0 and (np.ptp(pixels, axis=0) + 1 < np.array(period)).all()
        if small and len(np.unique(pixels // period, axis=0)) > 1:
            labels_across.append(label)
    return labels_across


def adjoining(labels: np.ndarray) -> bool:
    """Whether some instance has two neighbouring pixels along an axis."""
    pairs = [(labels.take(range(1, n), k), labels.take(range(n - 1), k)) for k, n in enumerate(labels.shape)]
    return any(((a == b) & (a > 0)).any() for a, b in pairs)


def periods(least: int = 2) -> st.SearchStrategy[Space]:
    return st.tuples(st.integers(least, 9)) | st.tuples(st.integers(least, 4), st.integers(least, 4))


@half
@given(st.data(), periods(), seeds())
def test_small_windows_see_nothing_of_the_splits(data, period, seed):
    labels = scene(period, seed)
    window = tuple(data.draw(st.integers(1, p)) for p in period)
    record.examine((period, window), 1)
    check(labels, period, window)
    assert not theory.sees_every_neighbour(window, period)


@more
@given(periods(), seeds())
def test_yet_every_small_object_across_a_line_is_split(period, seed):
    labels = scene(period, seed)
    embedding = splitting_map(labels, period=period, push=PUSH)
    split = crossing(labels, period)
    record.examine(period, 1)
    for label in split:
        where = labels == label
        cells = np.unique(np.argwhere(where) // period, axis=0)
        names = {tuple(cell): np.unique(embedding[where & _cell(labels.shape, cell, period)], axis=0) for cell in cells}
        assert all(len(name) == 1 for name in names.values())
        assert len(np.unique(np.concatenate(list(names.values())), axis=0)) == len(cells)


def _cell(shape: Space, cell: np.ndarray, period: Space) -> np.ndarray:
    mask = np.zeros(shape, bool)
    mask[tuple(slice(c * p, (c + 1) * p) for c, p in zip(cell, period, strict=True))] = True
    return mask


@more
@given(periods(), st.integers(1, 30))
def test_the_map_moves_along_with_whole_periods_and_holds_every_pair_at_p_plus_one(period, seed):
    labels = scene(period, seed)
    record.examine(period, 1)
    moved = labels[tuple(slice(p, None) for p in period)]
    whole = splitting_map(labels, period=period, push=PUSH)
    assert np.array_equal(splitting_map(moved, period=period, push=PUSH), whole[tuple(slice(p, None) for p in period)])
    for p in period:
        for w in range(1, p + 3):
            pairs = {(u % p, (u + 1) % p) for u in range(w - 1)}
            assert ((p - 1, 0) in pairs) == (len(pairs) == p) == theory.sees_every_neighbour([w], [p]) == (w >= p + 1)
    assert theory.training_window(period) == tuple(p + 1 for p in period)


@fewer
@given(periods(least=3), seeds())
def test_control_windows_of_one_pixel_more_do_see_them(period, seed):
    labels = scene(period, seed)
    if not adjoining(labels):
        record.discard()
    with record.rejected(period):
        check(labels, period, theory.training_window(period))


@fewer
@given(periods(least=3), seeds())
def test_control_one_embedding_for_all_is_not_free(period, seed):
    """A map without names has no pull, but push; the check is not blind to it."""
    labels = scene(period, seed)
    with record.rejected(period):
        merged = windows(labels, period)
        zeros = np.zeros((*merged.shape, 1), np.float32)
        parts = discriminative_loss(zeros, merged, max_instances=MOST, delta_var=0.0, delta_dist=2.0, gamma=0.0)[1]
        assert float(parts.push) == 0


def test_in_float32():
    """The loss above is computed in float32; names and their means are integers there."""
    for period in ((4,), (3, 4)):
        total = loss(windows(scene(period, 0), period), period)
        record.rounding(total, np.zeros_like(total), bound=0)
