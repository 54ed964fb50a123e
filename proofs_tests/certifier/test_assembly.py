"""Parts of one map, assembled in order, are that map; nothing else is taken for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from shiftjax.certifier import Certificate, certify
from shiftjax.certifier._domain.assembly import Part

N, LOST = 40, 6
Fn = Callable[[Any], Any]
RNG = np.random.default_rng(0)
KERNELS = [RNG.integers(-9, 9, (3, 3, c, 2)).astype(np.int32) for c in (1, 2, 2)]


def conv(x: Any, kernel: Any, padding: str = "VALID") -> Any:
    return lax.conv_general_dilated(x, kernel, (1, 1), padding, dimension_numbers=("NHWC", "HWIO", "NHWC"))


def net(x: Any) -> Any:
    """Three valid convolutions."""
    for kernel in KERNELS:
        x = jax.nn.relu(conv(x, kernel))
    return x


def pooled(x: Any) -> Any:
    """With stride 2, then back to stride 1: period 2, phases 2."""
    x = conv(x[:, 1:-1], KERNELS[0])
    x = jnp.maximum(x[:, ::2], x[:, 1::2])
    return jnp.repeat(conv(x, KERNELS[1]), 2, axis=1)[:, 1:-1]


def end_to_end(fn: Fn, x: Any, cuts: Sequence[int], lost: int) -> Any:
    return jnp.concatenate([fn(x[:, a : b + lost]) for a, b in pairwise(cuts)], axis=1)


def looped(fn: Fn, x: Any, some: int, lost: int) -> Any:
    """Filled in a loop, the last part clamped into the array."""
    n = x.shape[1] - lost
    one = jax.eval_shape(fn, jax.ShapeDtypeStruct((1, some + lost, *x.shape[2:]), x.dtype))

    def fill(k: Any, y: Any) -> Any:
        at = jnp.minimum(k * some, n - some)
        return lax.dynamic_update_slice_in_dim(y, fn(lax.dynamic_slice_in_dim(x, at, some + lost, 1)), at, 1)

    return lax.fori_loop(0, -(-n // some), fill, jnp.zeros((1, n, *one.shape[2:]), one.dtype))


def rectified(x: Any, kernel: Any) -> Any:
    return jax.nn.relu(conv(x, kernel))


def layered(x: Any) -> Any:
    for kernel in KERNELS:
        x = looped(partial(rectified, kernel=kernel), x, 5, 2)
    return x


def proof(fn: Fn, size: int = N) -> Certificate:
    return certify(fn, jax.ShapeDtypeStruct((1, size, 12, 1), jnp.int32))


def image(size: int = N) -> np.ndarray:
    return np.random.default_rng(1).integers(-(2**20), 2**20, (1, size, 12, 1), dtype=np.int32)


WHOLE: dict[str, tuple[Fn, Fn]] = {
    "end to end": (net, lambda x: end_to_end(net, x, [0, 7, 20, N - LOST], LOST)),
    "nested": (net, lambda x: end_to_end(lambda y: end_to_end(net, y, [0, 3, 17], LOST), x, [0, 17, N - LOST], LOST)),
    "in a loop": (net, lambda x: looped(net, x, 7, LOST)),
    "one pixel at a time": (net, lambda x: looped(net, x, 1, LOST)),
    "layer by layer": (net, layered),
    "period 2, at even indices": (pooled, lambda x: end_to_end(pooled, x, [0, 8, 20, 30], 10)),
    "of another slice": (lambda x: net(x[:, 3:-2]), lambda x: end_to_end(net, x[:, 3:-2], [0, 9, N - LOST - 5], LOST)),
}


@pytest.mark.parametrize("name", WHOLE)
def test_parts_of_one_map_are_that_map(name: str) -> None:
    """The same name, field and exact window as in one piece, at any size, and the same numbers."""
    whole, parts = WHOLE[name]
    one, other = proof(whole), proof(parts)
    assert one.same_map(other)
    assert one.axes == other.axes
    assert one.axes[0].exact == (0, one.axes[0].out)
    assert np.array_equal(jax.jit(whole)(image()), jax.jit(parts)(image()))


def test_the_number_of_parts_is_not_in_the_name() -> None:
    first, *others = [proof(lambda x: looped(net, x, 7, LOST), size) for size in (13, 14, 27, N)]
    assert all(first.same_map(other) for other in others)


def slipped(x: Any, by: int) -> Any:
    return jnp.concatenate([net(x[:, :20]), net(x[:, 14 + by : 34 + by])], axis=1)


def per_part(x: Any) -> Any:
    """Each part with numbers of its own."""
    return jnp.concatenate([net(x[:, :20]), net(x[:, 14:]) + 1], axis=1)


OTHER: dict[str, tuple[Fn, int]] = {
    "slipped by one": (lambda x: slipped(x, 1), 14),
    "slipped back by one": (lambda x: slipped(x, -1), 14),
    "the wrong way round": (lambda x: jnp.concatenate([net(x[:, 17:]), net(x[:, :23])], axis=1), 17),
    "with other numbers": (per_part, 20),
    "padded inside": (lambda x: end_to_end(lambda y: conv(y, KERNELS[0], "SAME"), x, [0, 13, N], 0), 26),
    "a gap between": (
        lambda x: jnp.concatenate([net(x[:, :20]), jnp.zeros((1, 3, 6, 2), jnp.int32), net(x[:, 17:])], axis=1),
        17,
    ),
    "period 2, at an odd index": (lambda x: jnp.concatenate([pooled(x[:, :18]), pooled(x[:, 9:39])], axis=1), 20),
    "another image axis": (
        lambda x: jnp.concatenate([net(x[:, :20, 1:]), net(x[:, 14:, :-1])], axis=1),
        20,
    ),
}


@pytest.mark.parametrize("name", OTHER)
def test_control_other_parts_are_borders(name: str) -> None:
    """Only the longest part counts, and the map has another name than the whole where it has the whole's shape."""
    fn, most = OTHER[name]
    cert = proof(fn)
    start, stop = cert.axes[0].exact
    assert 0 < stop - start <= most
    larger = proof(fn, N + 2)
    assert larger.axes[0].exact[1] - larger.axes[0].exact[0] < larger.axes[0].out


def test_control_a_certifier_that_takes_every_part_is_refuted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The claim it makes of the slipped parts is false: the second half does not continue the first."""
    true = jax.jit(net)(image())
    assembled = jax.jit(lambda x: slipped(x, 1))(image())
    assert np.array_equal(assembled[:, :14], true[:, :14])
    assert not np.array_equal(assembled[:, 14:28], true[:, 14:28])
    assert proof(lambda x: slipped(x, 1)).axes[0].exact == (0, 14)
    monkeypatch.setattr(Part, "continues", lambda self, other: True)
    assert proof(lambda x: slipped(x, 1)).axes[0].exact == (0, 28)


def test_where_a_map_is_read_is_in_the_name() -> None:
    """A crop from another place is another function, also where it depends on the size."""
    assert not proof(lambda x: net(x[:, 1:-1])).same_map(proof(lambda x: net(x[:, 2:])))
    assert not proof(lambda x: net(x[:, x.shape[1] // 20 :])).same_map(
        proof(lambda x: net(x[:, x.shape[1] // 20 :]), N + 20)
    )
    assert proof(lambda x: net(x)[:, 2:-1]).same_map(proof(lambda x: net(x[:, 2:-1]), N + 20))
    twice = lambda x: x[:, 1:-1] + x[:, 2:]  # noqa: E731
    assert not proof(twice).same_map(proof(lambda x: x[:, :-2] + x[:, 2:]))
    assert proof(lambda x: twice(x)[:, 1:]).same_map(proof(lambda x: x[:, 2:-1] + x[:, 3:]))


def alternating(x: Any) -> Any:
    """Plus a constant of period 2, which starts anew wherever the array does."""
    return x + (np.arange(x.shape[1]) % 2).astype(np.int32)[:, None, None]


def test_a_pattern_does_not_move_along() -> None:
    """Also where the array has phases of its own that it could hide behind."""
    assert not proof(lambda x: alternating(pooled(x))[:, 1:]).same_map(proof(lambda x: alternating(pooled(x)[:, 1:])))
    odd = proof(lambda x: jnp.concatenate([alternating(pooled(x)[:, :9]), alternating(pooled(x)[:, 9:])], axis=1))
    assert odd.axes[0].exact == (9, 30)
    even = proof(lambda x: alternating(pooled(x)))
    assert even.axes[0].exact == (0, 30)


def test_overwriting_with_something_else_leaves_a_border() -> None:
    """What is covered is not exact, also where it is a part of the same map at another place."""
    rest = (5, proof(net).axes[0].exact[1])
    assert proof(lambda x: lax.dynamic_update_slice(net(x), net(x)[:, :5] + 1, (0, 0, 0, 0))).axes[0].exact == rest
    moved = proof(lambda x: lax.dynamic_update_slice(net(x), net(x)[:, :5], (0, 1, 0, 0)))
    assert moved.axes[0].exact == (6, rest[1])
    corner = proof(lambda x: net(x).at[:, 2:4, :3].set(0))
    assert [axis.exact[0] for axis in corner.axes] in ([4, 0], [0, 3])


def test_parts_that_are_set_by_index() -> None:
    """As with `dynamic_update_slice`: in order, and each at its own indices."""

    def halves(x: Any, slip: int) -> Any:
        y = net(x)
        return jnp.zeros_like(y).at[:, :14].set(y[:, :14]).at[:, 14:].set(jnp.roll(y, -slip, axis=1)[:, 14:])

    assert proof(lambda x: halves(x, 0)).axes[0].exact == proof(net).axes[0].exact
    assert proof(lambda x: halves(x, 1)).axes[0].exact == (14, 33)


def test_slices_that_a_reshape_gives_an_axis_again() -> None:
    """The axis goes behind the batch, where it came from."""

    def rows(x: Any) -> Any:
        return jnp.concatenate([x[:, i].reshape(1, 1, x.shape[2], -1) for i in range(6)], axis=1)

    cert = proof(rows, 6)
    assert [axis.output_axis for axis in cert.axes] == [1, 2]
    assert cert.axes[0].exact == (0, 6)
