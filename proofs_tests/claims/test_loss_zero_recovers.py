"""Where pull (margin a) and push (means 2 b apart) are zero, the instances can be read off the embedding.

If b > a, every pixel is nearest to the mean of its own instance. If b > 2 a, joining all pixels at most t apart gives
the instances too, for every t with 2 a <= t < 2 b - 2 a. Both fail just outside these bounds.
Hypotheses: both terms exactly zero, the background an instance like any other.
Source: ours.
Idea: the triangle inequality. A pixel is at most a from its own mean, so at least 2 b - a from any other. Two pixels of
one instance are at most 2 a apart, two of different instances at least 2 b - 2 a.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse.csgraph import connected_components

from proofs_tests.support import record
from proofs_tests.support.profiles import fewer, more
from shiftjax._losses import discriminative_loss

MOST, PIXELS = 6, 48


@dataclass(frozen=True)
class Embedded:
    """Integer embeddings `(pixel, channel)` of instances whose means are exact, `a` and `b` as in the claim."""

    a: int
    b: int
    means: np.ndarray
    pixels: np.ndarray
    labels: np.ndarray

    @property
    def kind(self) -> tuple[int, ...]:
        return (self.a, self.b, *self.means.shape)


@st.composite
def embedded(draw: st.DrawFn, *, slack: int, ratio: int = 1, channels: int | None = None) -> Embedded:
    """Pairs of pixels on either side of the means, some of them a whole margin away; b = ratio * a + slack."""
    a = draw(st.integers(1, 9))
    b = ratio * a + slack
    channels = draw(st.integers(1, 3)) if channels is None else channels
    side = MOST if channels == 1 else 3
    grid = np.stack(np.meshgrid(*[np.arange(side)] * channels, indexing="ij"), -1).reshape(-1, channels)
    nodes = draw(st.lists(st.integers(0, len(grid) - 1), min_size=1, max_size=min(MOST, len(grid)) - 1, unique=True))
    unused = [k for k in range(len(grid)) if k not in nodes]
    near = [k for k in unused if np.abs(grid[k] - grid[nodes[0]]).sum() == 1][:1]  # two means exactly 2 b apart
    means = 2 * b * grid[nodes + near]
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    along = np.eye(channels, dtype=int)[0] if not near else grid[near[0]] - grid[nodes[0]]
    pixels, labels = [], []
    for k in range(PIXELS // 2):
        label = k % len(means)
        away = rng.integers(-a, a + 1, channels) if k >= len(means) else a * along
        if (away**2).sum() > a**2:
            away = away * 0
        pixels += [means[label] + away, means[label] - away]
        labels += [label, label]
    return Embedded(a, b, means, np.array(pixels), np.array(labels))


def parts(case: Embedded) -> Any:
    """Pull and push, by the library's loss; integers of this size are exact in float32."""
    x = case.pixels.astype(np.float32)[None, :, :]
    return discriminative_loss(
        x, case.labels.astype(np.int32)[None], max_instances=MOST, delta_var=case.a, delta_dist=case.b, gamma=0.0
    )[1]


def check_zero(case: Embedded) -> None:
    """Pull and push are zero."""
    terms = parts(case)
    assert float(terms.pull) == float(terms.push) == 0


def check_nearest(case: Embedded) -> None:
    """The nearest mean, and no other as near, is the pixel's own."""
    square = ((case.pixels[:, None] - case.means) ** 2).sum(-1)
    own = square[np.arange(len(square)), case.labels]
    others = square + np.where(np.arange(len(case.means)) == case.labels[:, None], 10**9, 0)
    assert (own < others.min(axis=1)).all(), "another mean is as near"


def check_joining(case: Embedded, twice_t: int) -> None:
    """Joining pixels at most t apart gives the instances."""
    square = ((case.pixels[:, None] - case.pixels) ** 2).sum(-1)
    _, component = connected_components(4 * square <= twice_t**2, directed=False)
    same = component[:, None] == component
    assert np.array_equal(same, case.labels[:, None] == case.labels), "joining gives other instances"


@more
@given(embedded(slack=1) | embedded(slack=4))
def test_the_nearest_mean_recovers(case):
    record.examine(case.kind, 1)
    check_zero(case)
    check_nearest(case)


@more
@given(st.data(), embedded(slack=1, ratio=2) | embedded(slack=3, ratio=2))
def test_joining_recovers(data, case):
    t = data.draw(st.integers(4 * case.a, 4 * case.b - 4 * case.a - 1))  # in halves: also between the integers
    record.examine(case.kind, 1)
    check_zero(case)
    check_joining(case, t)


@fewer
@given(embedded(slack=0, channels=1) | embedded(slack=0, channels=2))
def test_control_b_equal_to_a(case):
    """Halfway between two means a pixel may belong to either, at zero loss."""
    check_zero(case)
    with record.rejected(case.kind):
        check_nearest(case)


@fewer
@given(embedded(slack=1, ratio=2))
def test_control_joining_at_the_upper_end(case):
    if len(case.means) < 2:
        return
    check_zero(case)
    with record.rejected(case.kind):
        check_joining(case, 4 * case.b - 4 * case.a)


@fewer
@given(st.integers(1, 9))
def test_control_joining_below_the_lower_end(a):
    """An instance of two pixels at opposite ends of its margin falls apart."""
    case = Embedded(a, 2 * a + 1, np.zeros((1, 1), int), np.array([[-a], [a]]), np.array([0, 0]))
    check_zero(case)
    with record.rejected(case.kind):
        check_joining(case, 4 * a - 1)


@fewer
@given(embedded(slack=1))
def test_control_a_loss_above_zero(case):
    """One pixel a little further out costs pull, and the check of zero sees it."""
    far = case.pixels.copy()
    far[0], far[1] = case.means[0] - case.a - 1, case.means[0] + case.a + 1
    with record.rejected(case.kind):
        check_zero(Embedded(case.a, case.b, case.means, far, case.labels))


def test_in_float32():
    """With random real embeddings just inside the margins the loss is zero up to rounding of its squares."""
    rng = np.random.default_rng(0)
    means = np.array([[0, 0], [6, 0], [0, 6]], np.float32)
    angle = rng.uniform(0, 2 * np.pi, 15)
    away = np.stack([np.cos(angle), np.sin(angle)], -1).astype(np.float32)
    pixels = (means[:, None] + np.concatenate([away, -away])).reshape(-1, 2)
    labels = np.repeat(np.arange(3, dtype=np.int32), 30)
    margins: dict[str, Any] = {"delta_var": 1.0, "delta_dist": 3.0, "gamma": 0.0}
    _, terms = discriminative_loss(pixels[None], labels[None], max_instances=3, **margins)
    square = ((pixels[:, None] - means) ** 2).sum(-1)
    assert np.array_equal(square.argmin(axis=1), labels)
    # Distances of about 1 are right to a few units; the square of what exceeds the margin is far below one unit.
    record.rounding(1 + np.asarray([terms.pull, terms.push]), np.ones(2, np.float32), bound=1)
