"""Border windows: outputs of a part that touches the image's border are those of the whole image, bit for bit.

`stop` is right if a part that begins where the image begins gives the image's outputs before it; `start`, if a part
that ends where the image ends gives the image's outputs from there on. Parts and image are of one map and treat their
ends alike (`same_map(..., borders=True)`), and differ by whole periods. Controls: a window that is one pixel wider is
refuted, and so is a certifier whose rules widen them.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from itertools import product
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax
from jax.tree_util import Partial

from proofs_tests.certifier.borders import FIRST, INNER, LAST, disagreements, same_ends
from proofs_tests.certifier.judge import parameters
from proofs_tests.certifier.programs import Program, programs
from proofs_tests.certifier.test_random_programs import QUIET
from proofs_tests.support.profiles import examples
from shiftjax.certifier import Certificate, CertificationError, certify
from shiftjax.certifier._domain import assembly, axis
from shiftjax.nets._slabs import slab_by_slab

RNG = np.random.default_rng(0)
KERNELS: list[Any] = [RNG.integers(-9, 9, (k, 1, 1)).astype(np.int32) * 2 + 1 for k in (3, 2, 5)]
Fn = Callable[[Any], Any]


def proof(fn: Fn, size: Sequence[int] | int) -> Certificate:
    space = (size,) if isinstance(size, int) else tuple(size)
    return certify(fn, jax.ShapeDtypeStruct((1, *space, 1), jnp.int32))


def conv(x: Any, k: int = 0, padding: Any = "SAME", stride: int = 1, dilation: int = 1) -> Any:
    options: dict[str, Any] = {"rhs_dilation": (dilation,), "dimension_numbers": ("NHC", "HIO", "NHC")}
    return lax.conv_general_dilated(x, KERNELS[k], (stride,), padding, **options)


def injective(x: Any) -> Any:
    return jnp.where(x >= 0, x, 1 - 5 * x)


def pool(x: Any) -> Any:
    return lax.reduce_window(x, np.int32(-(2**31)), lax.max, (1, 2, 1), (1, 2, 1), "SAME")


def unet(x: Any) -> Any:
    """Same-padded, two levels."""
    a = injective(conv(x))
    b = injective(conv(pool(a), 2))
    return conv(a + jnp.repeat(conv(b), 2, axis=1), 1)


def padded(x: Any, mode: str, left: int = 2, right: int = 1, **options: Any) -> Any:
    return conv(jnp.pad(x, ((0, 0), (left, right), (0, 0)), mode=mode, **options), 2, "VALID")


def filled(x: Any) -> Any:
    """A same-padded convolution, computed part by part into an array of sevens."""
    y = jnp.full_like(x, 7)
    for start in range(0, x.shape[1] - 2, 5):
        piece = conv(x[:, start : start + 7], padding="VALID")
        y = lax.dynamic_update_slice(y, piece, (0, start + 1, 0))
    return y


def in_parts(x: Any) -> Any:
    """A wide border and what lies beside it, computed in parts whose length depends on the size."""
    wide = jnp.pad(x, ((0, 0), (9, 8), (0, 0)), mode="reflect")
    y, step = jnp.zeros_like(wide[:, 2:]), 5 if x.shape[1] < 40 else 7
    for start in range(0, y.shape[1], step):
        piece = conv(wide[:, start : start + step + 2], padding="VALID")
        y = lax.dynamic_update_slice(y, piece, (0, start, 0))
    return y


def zeros_or_pixels(x: Any) -> Any:
    """The image without its first pixel or two; in the place of what is missing there are zeros, or nothing is."""
    by, kept = (3, 0) if x.shape[1] < 40 else (1, 2)
    return jnp.pad(x[:, by:], ((0, 0), (2, 0), (0, 0)))[:, kept:]


def one_over_the_other(x: Any) -> Any:
    """1, 2, 3 written over the first pixels and, before that or after it, over the third to the fifth."""
    values = jnp.array([1, 2, 3], x.dtype).reshape(1, 3, 1)
    for start in (0, 2) if x.shape[1] < 40 else (2, 0):
        x = lax.dynamic_update_slice(x, values, (0, start, 0))
    return x


def backwards(x: Any, least: int = 5) -> Any:
    """Three pixels before the image's fourth, which are the last of some that were mirrored."""
    count = least if x.shape[1] < 40 else 6
    y = jnp.concatenate([jnp.flip(x[:, 1 : 1 + count], 1), x[:, count:]], axis=1)
    return lax.dynamic_update_slice(y, x[:, 3:count], (0, 3, 0))


def beside_another_border(x: Any) -> Any:
    """The image with its seventh pixel set, or the first five pixels of that and the rest of the image as it is."""
    y = x.at[:, 6].set(5)
    return jnp.concatenate([y[:, :5], x[:, 5:]], axis=1) if x.shape[1] < 40 else y


def slab_after_slab(x: Any) -> Any:
    """Two same-padded convolutions, each computed in as many slabs as the size asks for."""
    for _ in range(2):
        x = slab_by_slab(partial(conv, padding="VALID"), [jnp.pad(x, ((0, 0), (1, 1), (0, 0)))], 2)
    return x


def averages(x: Any) -> Any:
    """Of three pixels, of two at the border; times six, in whole numbers."""
    add = lambda y: lax.reduce_window(y, np.int32(0), lax.add, (1, 3, 1), (1, 1, 1), "SAME")  # noqa: E731
    return add(x) * (6 // add(jnp.ones_like(x)))


def partial_convolution(x: Any) -> Any:
    """Corrected for the part of its kernel that lies on padding, as a mask of ones tells."""
    ones = jnp.pad(jnp.ones_like(x), ((0, 0), (1, 1), (0, 0)))
    return conv(x) * (6 // lax.reduce_window(ones, np.int32(0), lax.add, (1, 3, 1), (1, 1, 1), "VALID"))


def masked(x: Any, left: int, right: int) -> Any:
    """0 at the first and last pixels, 1 between."""
    at = jnp.arange(x.shape[1])
    return ((at >= left) & (at < x.shape[1] - right)).astype(x.dtype)[None, :, None]


def tripled(x: Any) -> Any:
    """1, 2, 3, 1, 2, 3, ... but for the first two."""
    return (jnp.arange(x.shape[1]) % 3 + 1).at[:2].set(7).astype(x.dtype)[None, :, None]


def twice_as_long(x: Any) -> Any:
    """By a known matrix of whole numbers, as a resizing."""
    matrix = np.kron(np.eye(x.shape[1], dtype=np.int32), np.array([[1, 2]], np.int32))
    return jnp.einsum("bnc,nm->bmc", x, matrix)


def mirrored_twice(x: Any) -> Any:
    return jnp.flip(conv(jnp.flip(conv(x, 1), 1), 1, [(2, 0)]), 1)


# Functions whose two ends are treated alike at every size, and how many pixels of a part each end spoils for the other.
ALIKE: dict[str, tuple[Fn, int, int]] = {
    "a U-Net": (unet, 8, 9),
    "an even kernel": (lambda x: conv(x, 1), 0, 1),
    "padding by more on the left": (lambda x: conv(x, 0, [(2, 0)]), 2, 0),
    "strided": (lambda x: jnp.repeat(conv(x, 0, "SAME", 2), 2, axis=1), 0, 2),
    "dilated": (lambda x: conv(x, 0, [(2, 2)], 1, 2), 2, 2),
    "transposed": (lambda x: lax.conv_transpose(x, KERNELS[2], (2,), "SAME"), 2, 1),
    "valid": (lambda x: conv(x, 2, "VALID"), 0, 0),
    "cropped and padded again": (lambda x: jnp.pad(x[:, 2:-1], ((0, 0), (2, 1), (0, 0))), 2, 1),
    "zeros": (lambda x: padded(x, "constant"), 2, 1),
    "sevens": (lambda x: padded(x, "constant", constant_values=7), 2, 1),
    "reflected": (lambda x: padded(x, "reflect"), 2, 1),
    "symmetric": (lambda x: padded(x, "symmetric"), 2, 1),
    "edge": (lambda x: padded(x, "edge"), 2, 1),
    "edge, by one": (lambda x: padded(x, "edge", 1, 1), 1, 1),
    "reflected between layers": (lambda x: padded(jax.nn.relu(conv(x)), "reflect"), 3, 2),
    "its first pixels set": (lambda x: conv(x.at[:, :2].set(5)), 3, 1),
    "its last pixel set": (lambda x: conv(x.at[:, -1].set(5)), 1, 2),
    "overwritten by itself": (lambda x: conv(lax.dynamic_update_slice(x, x[:, :1] * 3, (0, 0, 0))), 2, 1),
    "mirrored pixels": (partial(backwards, least=6), 3, 0),
    "row by row": (lambda x: lax.map(lambda row: row * 3, padded(x, "reflect").swapaxes(0, 1)).swapaxes(0, 1), 2, 1),
    "part by part": (filled, 1, 1),
    "in parts of another length": (in_parts, 9, 8),
    "averages that count no padding": (averages, 1, 1),
    "a partial convolution": (partial_convolution, 1, 1),
    "the border masked": (lambda x: conv(x) * masked(x, 2, 1), 2, 1),
    "a mask of period 3, and its ends": (lambda x: conv(x + jnp.roll(masked(x, 2, 1), 2, 1)) * tripled(x), 5, 1),
    "mirrored, twice": (mirrored_twice, 0, 3),
}


@pytest.mark.parametrize("name", ALIKE)
def test_windows_at_both_borders(name: str) -> None:
    """They are as wide as can be, and what they claim holds; a window wider by one does not."""
    fn, before, after = ALIKE[name]
    small, large = proof(fn, 32), proof(fn, 62)
    assert same_ends(small, large)
    axis = small.axes[0]
    assert (axis.start, axis.out - axis.stop) == (before, after), "the windows are not those that were worked out"
    rng = np.random.default_rng(1)
    assert list(disagreements(fn, small, large, rng)) == []
    wider = [at for _ in range(6) for at in disagreements(fn, small, large, rng, wider=1, kinds=(FIRST, LAST))]
    assert ((FIRST,) in wider, (LAST,) in wider) == (after > 0, before > 0)


# What one end does depends on the size, or comes from the other end.
OTHERWISE: dict[str, Fn] = {
    "wrapped around": lambda x: padded(x, "wrap"),
    "rolled": lambda x: jnp.roll(x, 3, axis=1),
    "rolled back": lambda x: jnp.roll(x, -3, axis=1),
    "an end that is the beginning": lambda x: jnp.concatenate([x, x[:, :2]], axis=1),
    "cut at a fixed place": lambda x: jnp.pad(x[:, :20], ((0, 0), (0, x.shape[1] - 20), (0, 0))),
    "a fill that depends on the size": lambda x: padded(x, "constant", constant_values=x.shape[1]),
    "fills in turn": lambda x: (
        conv(jnp.pad(x, ((0, 0), (1, 1), (0, 0))) + 1, 0, "VALID")
        if x.shape[1] < 40
        else conv(jnp.pad(x + 1, ((0, 0), (1, 1), (0, 0))), 0, "VALID")
    ),
    "a border that depends on the size": lambda x: x.at[:, : x.shape[1] // 20].set(5),
    "a mask of a border that depends on the size": lambda x: conv(x) * masked(x, x.shape[1] // 20, 1),
    "a border of a value that depends on the size": lambda x: x + (1 - masked(x, 1, 1)) * x.shape[1],
    "a fill that depends on the size, resized and transposed": lambda x: (
        jnp.pad(twice_as_long(x), ((0, 0), (1, 1), (0, 0)), constant_values=x.shape[1]).mT.mT
    ),
    "a slice from a place that depends on the size": lambda x: jnp.concatenate(
        [x[:, x.shape[1] // 20 : x.shape[1] // 20 + 1], x], axis=1
    ),
    "zeros or pixels": zeros_or_pixels,
    "one over the other": one_over_the_other,
    "more pixels that are mirrored": backwards,
    "beside another border": beside_another_border,
}


@pytest.mark.parametrize("name", OTHERWISE)
def test_control_other_ends_are_not_taken_for_the_same(name: str) -> None:
    """No claim of both windows is made: the names differ, or nothing is known of an end. What is claimed holds."""
    fn = OTHERWISE[name]
    small, large = proof(fn, 32), proof(fn, 62)
    assert small.same_map(large), "a control: the interior is one map"
    axis = small.axes[0]
    claimed = same_ends(small, large) and axis.start < axis.out and axis.stop > 0
    rolled = (axis.start <= 3 and axis.stop == 0) or (axis.start == axis.out and axis.out - axis.stop <= 3)
    assert not claimed or rolled
    if same_ends(small, large):
        assert list(disagreements(fn, small, large, np.random.default_rng(1))) == []
    everything = dataclasses.replace(
        small, leaves=tuple(dataclasses.replace(o, axes=tuple(map(_everything, o.axes))) for o in small.leaves)
    )
    more = dataclasses.replace(
        large, leaves=tuple(dataclasses.replace(o, axes=tuple(map(_everything, o.axes))) for o in large.leaves)
    )
    assert list(disagreements(fn, everything, more, np.random.default_rng(1), kinds=(FIRST, LAST)))


def _everything(axis: Any) -> Any:
    """An axis with border windows as wide as where its ends were treated alike."""
    return dataclasses.replace(axis, start=axis.exact[0], stop=axis.exact[1])


def sizes(program: Program, cert: Certificate, rng: np.random.Generator) -> tuple[int, ...]:
    """A larger image, by whole periods."""
    more = [axis.period * int(rng.integers(1, 1 + max(1, 12 // axis.period))) for axis in cert.axes]
    return (1, *(n + by for n, by in zip(program.shape[1:-1], more, strict=True)), program.shape[-1])


def check(program: Program, seed: int, seen: collections.Counter[str]) -> None:
    rng = np.random.default_rng(seed)
    fn = Partial(program.apply, parameters(rng, program.parameter_shapes()))
    try:
        small = certify(fn, jax.ShapeDtypeStruct(program.shape, jnp.int32))
        large = certify(fn, jax.ShapeDtypeStruct(sizes(program, small, rng), jnp.int32))
    except CertificationError:
        return
    seen["certified"] += 1
    if not same_ends(small, large):
        return
    seen["both"] += all(axis.start < axis.out and axis.stop > 0 for axis in small.axes)
    seen["border"] += any(axis.exact != (0, axis.out) for axis in small.axes)
    bad = list(disagreements(fn, small, large, rng))
    assert not bad, (bad, program, large.shape, [(a.exact, a.start, a.stop, a.out) for a in small.axes])


SEEN: collections.Counter[str] = collections.Counter()


@settings(max_examples=2 * examples(), **QUIET)
@given(programs(), st.integers(0, 2**32 - 1))
def test_random_programs_at_their_borders(program: Program, seed: int) -> None:
    check(program, seed, SEEN)


def test_most_programs_have_windows_at_both_borders() -> None:
    """The random test above is not empty."""
    if not SEEN["certified"]:
        pytest.skip("the random programs were not drawn in this process")
    assert SEEN["both"] > SEEN["certified"] // 4  # two thirds are usual; draws cluster
    assert SEEN["border"] > SEEN["certified"] // 20  # a fourth


def wider_stop(original: Any) -> Any:
    """Every window ends one output late where the image goes on to the right."""

    def broken(one: axis.Axis, out: int, **options: int) -> axis.Axis:
        new = original(one, out, **options)
        return dataclasses.replace(new, stop=min(out, new.stop + 1))

    return broken


def wider_start(original: Any) -> Any:
    """Every window begins one output early where the image goes on to the left."""

    def broken(one: axis.Axis, out: int, **options: int) -> axis.Axis:
        new = original(one, out, **options)
        return dataclasses.replace(new, start=max(0, new.start - 1))

    return broken


def no_border_names(original: Any) -> Any:
    """Steps leave the names of the ends as they are."""
    return lambda self, step: self


def no_places(original: Any) -> Any:
    """Ends lie where they lay."""
    return lambda self, *by: self


def first_window_wins(original: Any) -> Any:
    """Where arrays meet, only the first one's border windows count."""

    def broken(axes: Sequence[axis.Axis]) -> axis.Axis:
        return dataclasses.replace(original(axes), start=axes[0].start, stop=axes[0].stop)

    return broken


def first_end_wins(original: Any) -> Any:
    """The end of an assembled array is that of its first part."""
    return lambda seen, *_: seen[0].border[0]


MUTANTS: dict[str, tuple[Any, str, Any, list[str]]] = {
    "wider_stop": (axis, "window", wider_stop, ["a U-Net"]),
    "wider_start": (axis, "window", wider_start, ["a U-Net"]),
    "first_window_wins": (axis, "join", first_window_wins, ["a skip"]),
    "no_border_names": (axis.End, "after", no_border_names, ["a fill that depends on the size", "fills in turn"]),
    "no_places_in_names": (axis.End, "settled", no_places, ["zeros or pixels"]),
    "no_places": (axis.End, "placed", no_places, ["one over the other"]),
    "first_end_wins": (assembly, "_end", first_end_wins, ["beside another border"]),
}
MORE: dict[str, Fn] = {"a skip": lambda x: x + conv(x)}


@pytest.mark.parametrize("name", MUTANTS)
def test_mutants_of_the_rules_are_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rule that claims too much at a border is refuted by running the function."""
    owner, attribute, broken, victims = MUTANTS[name]
    functions = {**{key: fn for key, (fn, _, _) in ALIKE.items()}, **OTHERWISE, **MORE}
    monkeypatch.setattr(owner, attribute, broken(getattr(owner, attribute)))
    for victim in victims:
        fn = functions[victim]
        small, large = proof(fn, 32), proof(fn, 62)
        assert same_ends(small, large)
        assert list(disagreements(fn, small, large, np.random.default_rng(1))), victim


def test_an_array_of_one_slab_or_of_several(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their ends have one name. Control: not where nothing is known of the ends of slabs that a loop fills in."""
    small, large = proof(slab_after_slab, 9), proof(slab_after_slab, 62)
    assert same_ends(small, large)
    assert [(a.start, a.out - a.stop) for a in (*small.axes, *large.axes)] == [(2, 2)] * 2
    assert list(disagreements(slab_after_slab, small, large, np.random.default_rng(0))) == []
    monkeypatch.setattr("shiftjax.certifier._rules.sliding.ends_move", lambda *_: False)
    assert not same_ends(proof(slab_after_slab, 9), proof(slab_after_slab, 62))


def test_a_corner_treats_each_axis_for_itself() -> None:
    """In 2-D: first along one axis, inner or last along the other; another map beside the image spoils its own side."""

    def net(x: Any) -> Any:
        y = jnp.pad(x, ((0, 0), (1, 1), (2, 1), (0, 0)), mode="reflect")
        return lax.reduce_window(y, np.int32(0), lax.add, (1, 3, 4, 1), (1, 1, 1, 1), "VALID")

    def shifted(x: Any) -> Any:  # the row beside the image is padded along the other axis, the image is not
        row = jnp.pad(x[:, :1, 1:], ((0, 0), (0, 0), (0, 1), (0, 0)))
        return jnp.concatenate([row, x], axis=1)

    small, large = proof(net, (12, 14)), proof(net, (20, 19))
    assert same_ends(small, large)
    assert [(a.start, a.out - a.stop) for a in small.axes] == [(1, 1), (2, 1)]
    assert list(disagreements(net, small, large, np.random.default_rng(0))) == []
    small = proof(shifted, (12, 14))  # within that row, values change along the other axis: nothing is said of its ends
    assert (small.axes[1].start, small.axes[1].stop) == (small.axes[1].out, 0)


def in_two_parts(x: Any, fills: tuple[int, int]) -> Any:
    """Row by row: the left part of an image that is padded above and below, and the right part of another one."""
    parts = [jnp.pad(x, ((0, 0), (1, 1), (0, 0), (0, 0)), constant_values=fill) for fill in fills]
    rows = [part.swapaxes(0, 1) for part in parts]
    joined = lax.map(lambda row: jnp.concatenate([row[0][:, :5], row[1][:, 5:]], axis=1), tuple(rows))
    return joined.swapaxes(0, 1)


@pytest.mark.parametrize("fills", [(0, 0), (0, 5)])
def test_parts_whose_other_ends_differ_in_a_loop(fills: tuple[int, int]) -> None:
    """At the ends of the axis that the loop runs along, the parts differ: where one goes over into the other, a tile
    of the other axis has its own place."""
    fn = partial(in_two_parts, fills=fills)
    small, large = proof(fn, (12, 14)), proof(fn, (12, 20))
    alike = fills[0] == fills[1]
    assert same_ends(small, large, equal=True) == alike
    assert ((small.axes[0].start, small.axes[0].stop) == (1, 13)) == alike


def padded_in_two_parts(x: Any, fills: tuple[int, int]) -> Any:
    """The first five rows of an image that is padded on both sides, and the other rows of one that is padded so too."""
    parts = [jnp.pad(x, ((0, 0), (0, 0), (1, 1), (0, 0)), constant_values=fill) for fill in fills]
    return jnp.concatenate([parts[0][:, :5], parts[1][:, 5:]], axis=1)


def put_together(x: Any, fills: tuple[int, int]) -> Any:
    y = padded_in_two_parts(x, fills)
    return jnp.concatenate([y[:, :3], y[:, 3:]], axis=1)


def written_over(x: Any, fills: tuple[int, int]) -> Any:
    """In a large image by the second fill everywhere, in a small one by the first."""
    first, second = fills if x.shape[1] > 12 else (fills[0], fills[0])
    above = padded_in_two_parts(x, (second, second))[:, :5]
    return lax.dynamic_update_slice(padded_in_two_parts(x, (first, second)), above, (0, 0, 0, 0))


@pytest.mark.parametrize("fills", [(0, 0), (0, 7)])
@pytest.mark.parametrize("assembled", [put_together, written_over])
def test_parts_whose_other_ends_differ(assembled: Callable[..., Any], fills: tuple[int, int]) -> None:
    """That they do is remembered when they are put together again; what is hidden below others does not count."""
    fn = partial(assembled, fills=fills)
    small, large = proof(fn, (12, 14)), proof(fn, (20, 20))
    assert small.same_map(large), "a control: the interior is one map"
    assert same_ends(small, large) == (fills[0] == fills[1])
    small, large = (proof(partial(assembled, fills=(0, 0)), c.shape[1:-1]) for c in (small, large))
    wrong = list(disagreements(fn, small, large, np.random.default_rng(0)))
    assert bool(wrong) == (fills[0] != fills[1]), "a control: windows as of equal fills would be wrong"


def one_of_two(large: int, small: int, p: Any, x: Any) -> Any:
    """Padded by one of two values, and flattened, where nobody knows which: the first depends on the size."""

    def padded_by(fill: int) -> Fn:
        return lambda x: jnp.pad(x, ((0, 0), (0, 0), (1, 1), (0, 0)), constant_values=fill).reshape(1, -1, 1)

    y = lax.cond(p > 0, padded_by(large if x.shape[1] > 12 else small), padded_by(0), x)
    return y.reshape(1, x.shape[1], x.shape[2] + 2, 1)


@pytest.mark.parametrize("fills", [(3, 3), (3, 7)])
def test_flattened_ends_of_branches(fills: tuple[int, int]) -> None:
    """Those of either branch count, also where the image axes are flattened."""
    fn = Partial(partial(one_of_two, *fills), jnp.int32(1))
    small, large = proof(fn, (12, 14)), proof(fn, (20, 20))
    assert small.same_map(large), "a control: the interior is one map"
    assert same_ends(small, large) == (fills[0] == fills[1])
    small, large = (proof(Partial(partial(one_of_two, 3, 3), jnp.int32(1)), c.shape[1:-1]) for c in (small, large))
    wrong = list(disagreements(fn, small, large, np.random.default_rng(0)))
    assert bool(wrong) == (fills[0] != fills[1]), "a control: windows as of equal fills would be wrong"


def shifted_windows(x: Any, side: int = 4, spoilt: bool = False) -> Any:
    """Sums within windows of an image that was rolled, over pixels that were neighbours before: a mask says which."""
    _, height, width, channels = x.shape
    across = (height // side, side, width // side, side)

    def in_windows(y: Any, last: int) -> Any:
        return (
            y.reshape(-1, *across, last).transpose(0, 1, 3, 2, 4, 5).reshape(-1, across[0] * across[2], side**2, last)
        )

    half = side // 2
    parts = (slice(0, -side), slice(-side, -half), slice(-half, None))
    region = np.zeros((1, height, width, 1), np.int32)
    for number, (rows, columns) in enumerate(product(parts, repeat=2)):
        region[:, rows, columns] = number
    own = in_windows(region, 1)[0]
    mask = (own == own.swapaxes(1, 2)).astype(np.int32)
    if spoilt:
        mask[len(mask) // 2] = 3
    y = jnp.einsum("wij,bwjc->bwic", mask, in_windows(jnp.roll(x, (-half, -half), (1, 2)), channels))
    y = (y + mask[:, :, :1]).reshape(-1, across[0], across[2], side, side, channels).transpose(0, 1, 3, 2, 4, 5)
    return jnp.roll(y.reshape(x.shape), (half, half), (1, 2))


def test_masks_of_shifted_windows_that_lie_in_one_row() -> None:
    """They differ in the last row and column of windows alone, which the roll spoils anyway."""
    small, large = proof(shifted_windows, (32, 40)), proof(shifted_windows, (64, 60))
    assert small.period == (4, 4)
    assert [axis.exact for axis in small.axes] == [(2, 30), (2, 38)]
    assert small.same_map(large)
    rng = np.random.default_rng(1)
    assert list(disagreements(shifted_windows, small, large, rng, kinds=(INNER,))) == []
    wider = [dataclasses.replace(axis, exact=(0, axis.out)) for axis in small.axes]
    claim = dataclasses.replace(small, leaves=(dataclasses.replace(small.leaves[0], axes=tuple(wider)),))
    assert list(disagreements(shifted_windows, claim, large, rng, kinds=(INNER,)))  # the control
    with pytest.raises(CertificationError, match="a constant varies along its axis"):
        proof(partial(shifted_windows, spoilt=True), (32, 32))


def slipped(x: Any, by: int, put: str) -> Any:
    """A first row of another map, `by` pixels further along the row than the rest, where the width is no multiple of 4.

    What is cut off before and after comes to the same at all widths.
    """
    width, (y, z) = x.shape[2], (x * 3, x * 5)
    if width % 4 == 0:
        before, after, first = slice(2, None), slice(0, -2), slice(2, None)
    else:
        before, after, first = slice(0, width - 2), slice(2, None), slice(by, width - 2 + by)
    if put == "set":
        return y[:, :, before].at[:, 0].set(z[:, 0, first])[:, :, after]
    return jnp.concatenate([z[:, :1, first], y[:, 1:, before]], 1)[:, :, after]


@pytest.mark.parametrize("put", ["concatenate", "set"])
@pytest.mark.parametrize("by", [0, 2])
def test_a_border_lies_beside_the_same_pixels_at_every_size(by: int, put: str) -> None:
    """Where it lies along the other axes is counted from the part beside it, which may be cut afterwards."""
    fn = partial(slipped, by=by, put=put)
    small, large = proof(fn, (8, 12)), proof(fn, (8, 14))
    assert small.same_map(large)
    assert small.same_map(large, borders=True) == (by == 0)
    rng = np.random.default_rng(0)
    assert list(disagreements(fn, small, large, rng, kinds=(INNER,))) == []
    assert bool(list(disagreements(fn, small, large, rng))) == (by != 0), "a control: the first row would be wrong"
    assert same_ends(proof(fn, (8, 14)), proof(fn, (8, 18)), equal=True), "a control: slipped alike at both sizes"
