"""Programs made to mislead the certifier. Each certificate is held against what the program really does."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.tree_util import Partial

import shiftjax as sj
from proofs_tests.certifier.cases import CASES
from proofs_tests.certifier.evidence import failures, measure
from shiftjax.certifier import Certificate, CertificationError, batchwise, certify

SHAPE = (1, 24, 2)
PARAMETER = [np.full((1, 2), 3, np.float32)]


def image(dtype: Any = np.int32, shape: tuple[int, ...] = SHAPE) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, dtype)


def first_ten(x: Any) -> Any:
    """A gather along channels that crops the image on the way."""
    numbers = lax.GatherDimensionNumbers((1, 2, 3), (), start_index_map=(2,))
    return lax.gather(x, jnp.array([[0], [1]]), numbers, (1, 10, 1))


def scattered(x: Any) -> Any:
    """Adds every pixel to every pixel: the image runs along the axis of the updates that is summed away."""
    numbers = lax.ScatterDimensionNumbers((1,), (1,), (1,))
    update = jnp.broadcast_to(x[0, :, :1], (24, 24))
    return lax.scatter_add(x[0], (jnp.arange(24) % 2)[:, None], update, numbers)[None]


def end_to_end(x: Any) -> Any:
    flat = x.reshape(-1, 2)
    return jnp.concatenate([flat, flat]).reshape(2, *x.shape[1:])[:1]


def refuted(fn: Callable[[Any], Any], cert: Certificate, dtype: Any) -> list[str]:
    seen = measure(fn, cert.shape, 1, cert.axes[0].output_axis, dtype, 4)
    return [claim for found in seen for claim in failures(cert.axes[0], found)]


def one_pixel_of_each_channel(x: Any, channels: int = 6) -> Any:
    """A gather whose output `i` is pixel `i`, but of channel `i`."""
    taken = jax.vmap(lambda channel, at: jnp.take(channel, at, axis=1), in_axes=(2, 0), out_axes=1)
    return taken(x[..., :channels], jnp.arange(channels))[..., None]


def test_a_gather_along_the_image_and_along_channels_at_once() -> None:
    """Were it certified, it would move with the image, as the pixels of one channel do."""
    wide = image(shape=(1, 24, 6))
    with pytest.raises(CertificationError, match="gathered in blocks or along several axes"):
        certify(one_pixel_of_each_channel, wide)
    control = lambda x: jnp.take(x, jnp.arange(6), axis=1)[..., :1]  # noqa: E731
    cert = certify(control, wide)
    assert refuted(control, cert, np.int32) == []
    assert refuted(one_pixel_of_each_channel, cert, np.int32)


def test_a_gather_that_crops_the_image() -> None:
    """Exact pixels are those that are there."""
    cert = certify(first_ten, image())
    assert cert.axes[0].exact == (0, 10)
    assert refuted(first_ten, cert, np.int32) == []


@pytest.mark.parametrize(
    ("fn", "shape", "primitive"),
    [(scattered, SHAPE, "scatter-add"), (end_to_end, (1, 6, 4, 2), "concatenate")],
)
def test_axes_of_the_image_in_odd_places_are_refused(fn: Any, shape: tuple[int, ...], primitive: str) -> None:
    """Where the updates of a scatter are summed, and in flattened axes put end to end."""
    with pytest.raises(CertificationError) as refusal:
        certify(fn, image(shape=shape))
    assert refusal.value.primitive == primitive


def test_the_scattered_image_is_read_as_a_whole() -> None:
    """Control: the refusal is not for nothing."""
    (found,) = measure(scattered, SHAPE, 1, 1, np.int32, 1)
    assert found.reads.all()


def turn(carry: Any, row: Any) -> Any:
    """A scanned parameter is added and taken away: what was a square stays one, and dies."""
    return jnp.maximum(-(carry * carry + row - row), 0), None


DEAD: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "integer division": (lambda x: lax.div(jnp.clip(x, -1, 1), np.int32(2)), np.int32),
    "division by an array": (lambda x: lax.div(jnp.clip(x, -1, 1), jnp.array([[[2, 3]]] * 24)[:, 0][None]), np.int32),
    "bits": (lambda x: jnp.clip(x, 0, 1) & 4, np.int32),
    "no negatives": (lambda x: jnp.minimum(x, np.uint8(0)), np.uint8),
    "below zero": (lambda x: x < 0, np.uint8),
    "above the largest": (lambda x: jnp.maximum(x, np.int8(127)), np.int8),
    "flat where it matters": (
        lambda x: (lambda y: jnp.where((y > 0.4) & (y < 0.8), 0.5, y))((0.45 + 0.3 * jax.nn.sigmoid(x))[:, 1:]),
        np.float32,
    ),
    "beyond the samples": (lambda x: jnp.clip((2000 + jax.nn.sigmoid(x))[:, 1:], -1500, 1500), np.float32),
    "sine and cosine": (lambda x: jnp.sin(x) ** 2 + jnp.cos(x) ** 2, np.float32),
    "the same again": (lambda x: (x + 0.1) - x, np.float32),
}


@pytest.mark.parametrize("name", DEAD)
def test_constants_in_disguise_claim_nothing(name: str) -> None:
    """An output that reads nothing attains no bound."""
    fn, dtype = DEAD[name]
    assert not certify(fn, image(dtype)).axes[0].attained
    (found,) = measure(fn, SHAPE, 1, 1, dtype, 1)
    assert name in ("sine and cosine", "the same again") or not found.reads.any()  # those round


def test_what_resembles_them_claims_its_bounds() -> None:
    """Control: without the trap the same claim is made, and it holds."""
    alive: list[Callable[[Any], Any]] = [
        lambda x: jnp.clip(x, -1, 1) * 2,
        lambda x: jnp.minimum(x, 0),
        lambda x: jax.nn.leaky_relu(jax.nn.sigmoid(x)[:, 1:]),
    ]
    assert all(certify(fn, image(np.float32)).axes[0].attained for fn in alive)


def test_rows_of_a_scanned_parameter_are_known_as_such() -> None:
    """The second use of a row may cancel the first."""

    def fn(p: Any, x: Any) -> Any:
        return lax.scan(turn, x, p[0])[0]

    assert not certify(Partial(fn, PARAMETER), image(np.float32)).axes[0].attained
    (found,) = measure(lambda x: fn(PARAMETER, x), SHAPE, 1, 1, np.float32, 1)
    assert not found.reads.any()


def test_booleans_and_gradients_pass() -> None:
    """Both once stopped the certifier by accident."""
    assert certify(lambda x: jnp.where(x, 1, 2), image(np.bool_)).period == (1,)
    gradient = jax.grad(lambda x: (x[:, 1:] * x[:, :-1]).sum())
    cert = certify(gradient, image(np.float32))
    assert (cert.axes[0].lo, cert.axes[0].hi) == ((-1,), (1,))


def nearest(x: Any) -> Any:
    """Resizing by 5 / 12, to the nearest pixel, in whole numbers."""
    return x[:, [(2 * j + 1) * 6 // 5 for j in range(x.shape[1] * 5 // 12)]]


def test_a_resizing_with_few_outputs_has_the_period_of_its_ratio() -> None:
    """Of 24 px to 10, six in the middle repeat by accident after 5 px; all ten repeat after 12."""
    cert = certify(nearest, image())
    assert (cert.period, cert.axes[0].phases, cert.axes[0].exact) == ((12,), 5, (0, 10))
    larger = certify(nearest, image(shape=(1, 48, 2)))
    assert cert.same_map(larger)


def blurred(gain: float) -> Callable[[Any], Any]:
    """A product with a small matrix that is regular up to rounding only."""
    rounding = 1 + 3e-7 * np.random.default_rng(0).normal(size=(24, 24))
    matrix = (1e-6 * gain * (np.eye(24) + np.eye(24, k=1)) * rounding).astype(np.float32)
    return lambda x: jnp.einsum("bnc,nm->bmc", x, matrix)


def test_small_matrices_are_told_apart() -> None:
    """Weights are compared relative to the largest."""
    one, same, other = (certify(blurred(gain), image(np.float32)) for gain in (1, 1, 3))
    assert one.same_map(same)
    assert not one.same_map(other)


@pytest.mark.parametrize("inner", [lambda a, b: a + b, jax.jit(lambda a, b: a + b)])
def test_an_array_inside_the_scalar_function_of_a_reduction_is_in_the_name(inner: Callable[..., Any]) -> None:
    """At whatever depth: another array there is another map, though the program's text may be the same."""

    def network(gain: float) -> Callable[[Any], Any]:
        closed_over = jnp.float32(gain)
        return lambda x: lax.reduce(x, np.float32(0), lambda a, b: inner(a, b * closed_over), (2,))

    one, same, other = (certify(network(gain), image(np.float32)) for gain in (2, 2, 5))
    assert one.same_map(same)
    assert not one.same_map(other)


@pytest.mark.parametrize(
    "fn",
    [
        lambda x: x * x.shape[0],
        lambda x: x * jnp.where(jnp.arange(x.shape[0]) < 2, 1, 0)[:, None, None],
        lambda x: x if x.shape[0] == 2 else -x,
        lambda x: x if x.shape[0] == 1 else -x,
        lambda x: jnp.pad(x, ((0, 2), (0, 0), (0, 0))),
    ],
)
def test_the_number_of_images_may_not_enter(fn: Any) -> None:
    """Tiles that share a call must come out as they would alone."""
    assert not batchwise(fn, image())


def filled(x: Any, first: int, others: int) -> Any:
    """The sum of three pixels; beside the first image of a batch lies one number, beside the others another one."""
    parts = [
        jnp.pad(part, ((0, 0), (1, 1), (0, 0)), constant_values=fill)
        for part, fill in ((x[:1], first), (x[1:], others))
    ]
    y = jnp.concatenate(parts)
    return y[:, :-2] + y[:, 1:-1] + y[:, 2:]


@pytest.mark.parametrize("others", [0, 5])
def test_the_number_of_images_may_not_enter_at_the_border(others: int) -> None:
    """Where nothing is padded, tiles that share a call deliver the border of the image, too."""
    fn = partial(filled, first=0, others=others)
    assert batchwise(fn, image())
    assert batchwise(fn, image(), borders=True) == (others == 0)
    x = np.random.default_rng(0).integers(-99, 99, (1, 60, 2), dtype=np.int32)
    plan = sj.plan_tiles(fn, x.shape, tile=8, pad=None, dtype=np.int32)
    assert (plan.batch_size > 1) == (others == 0)
    assert np.array_equal(sj.predict_tiled(fn, x, plan), fn(x))


def test_images_that_are_added_are_not_tiled() -> None:
    """They would be dropped without a word."""
    with pytest.raises(ValueError, match="as many images"):
        sj.plan_tiles(lambda x: jnp.pad(x, ((0, 2), (0, 0), (0, 0))), (1, 14, 3), tile=4)


def test_flattening_the_batch_is_no_harm() -> None:
    """Control: also where one image makes its axis one pixel long."""
    assert batchwise(lambda x: (x.reshape(-1, 2) @ jnp.ones((2, 2), jnp.int32)).reshape(x.shape), image())


def augmented(x: Any) -> Any:
    """A network with a period of 2, on the mirrored image; where its grid begins depends on the size's parity."""
    pooled = lax.reduce_window(x[:, ::-1], np.int32(-(2**31)), lax.max, (1, 2, 1), (1, 2, 1), "VALID")
    return jnp.repeat(pooled, 2, axis=1)[:, ::-1]


def test_mirrors_remember_where_they_stand() -> None:
    """The grid of a network on the mirrored image is counted from the far end."""
    proofs = {n: certify(augmented, image(shape=(1, n, 2))) for n in (24, 25, 30, 31)}
    assert proofs[24].same_map(proofs[30])
    assert proofs[25].same_map(proofs[31])
    x = np.random.default_rng(0).integers(-99, 99, (1, 31, 2), dtype=np.int32)
    even, odd = (np.asarray(augmented(x[:, :n])) for n in (24, 25))
    assert not np.array_equal(even[:, 4:20], odd[:, 4:20])  # another map, as the proofs say
    assert not proofs[24].same_map(proofs[25])


def test_a_product_with_zero_keeps_its_sign() -> None:
    """It is a constant only where a number other than zero is added: 1 / (x * 0) is the sign of x, times infinity."""
    ones = certify(lambda x: jnp.cumsum(x * 0 + 1, 1) * 0 + x, image(np.float32))
    assert any("finite" in text for text in ones.assumptions)
    for fn in (lambda x: jnp.cumsum(x * 0, 1) + x, lambda x: jnp.cumsum(x * 0 + 0.0, 1) + x):
        with pytest.raises(CertificationError, match="accumulates"):
            certify(fn, image(np.float32))


def test_what_is_padded_need_not_be_finite() -> None:
    """Infinity times zero is no number, and the image itself may be finite."""

    def fn(x: Any) -> Any:
        y = jnp.pad(x, ((0, 0), (3, 3), (0, 0)), constant_values=-jnp.inf)
        return x + (y * 0 + 1)[:, : x.shape[1]]

    cert = certify(fn, image(np.float32))
    assert cert.axes[0].exact == (3, 24)
    assert refuted(fn, cert, np.float32) == []
    everything = dataclasses.replace(cert.axes[0], exact=(0, 24))
    assert list(failures(everything, measure(fn, cert.shape, 1, 1, np.float32, 4)[0]))
    assert certify(lambda x: x + (x * 0 + 1)[:, :24], image(np.float32)).axes[0].exact == (0, 24)


def _alternating(x: Any, value: float) -> Any:
    """1 in odd rows, and in even ones a value that is no finite number."""
    return jnp.where(jnp.arange(x.shape[1]) % 2 == 0, value, 1).astype(x.dtype)[:, None]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_zero_is_multiplied_by_need_not_be_finite(value: float) -> None:
    """Zeros made of the image, times a constant or a parameter that may be infinite, are no zeros."""

    def fn(x: Any) -> Any:
        return x + jnp.where(x * 0 * _alternating(x, value) + 1 == 1, 1, 0).astype(x.dtype)

    def of_parameter(row: Any, x: Any) -> Any:
        return x + (x * 0 * jnp.tile(row, x.shape[1] // 2)[:, None] + 1)

    zeros = np.zeros(SHAPE, np.float32)
    assert not np.array_equal(fn(zeros)[:, 1:-1], fn(zeros[:, 1:])[:, :-1])  # the period is not 1
    for each in (fn, Partial(of_parameter, jnp.asarray([value, 1], jnp.float32))):
        assert certify(each, image(np.float32)).period == (2,)


@pytest.mark.parametrize("value", [2.0, 0.0])
def test_control_what_is_finite_leaves_zeros(value: float) -> None:
    fn = lambda x: x + (x * 0 * _alternating(x, value) + 1)  # noqa: E731
    assert certify(fn, image(np.float32)).period == (1,)


@pytest.mark.parametrize("function", [lambda x: jnp.log(jnp.abs(x)), lambda x: x * x, lambda x: 1 / x, jnp.exp])
def test_what_is_computed_need_not_be_finite(function: Callable[[Any], Any]) -> None:
    """The product with zero is no number at one pixel, and the maximum reads it from all of them."""
    fn = lambda x: x * (function(x) * 0 + 1).max(1, keepdims=True)  # noqa: E731
    with pytest.raises(CertificationError, match="reduces over an image axis"):
        certify(fn, image(np.float32))
    itself = lambda x: x * (x * 0 + 1).max(1, keepdims=True)  # noqa: E731
    assert certify(itself, image(np.float32)).axes[0].exact == (0, 24)  # control


ZERO_INSIDE: dict[str, Callable[[Any], Any]] = {
    "padded": lambda x: jnp.pad((x * 0)[:, 1:-1], ((0, 0), (1, 1), (0, 0)), constant_values=5),
    "beside a constant": lambda x: jnp.concatenate([jnp.full((1, 2, 2), 5), (x * 0)[:, 2:]], 1),
    "written into a constant": lambda x: lax.dynamic_update_slice(jnp.full(x.shape, 5), (x * 0)[:, 2:], (0, 2, 0)),
    "written over": lambda x: (x * 0).at[:, 3].set(9),
    "written over by the image": lambda x: (x * 0).at[:, 3].set(x[:, 2]),
}


@pytest.mark.parametrize("name", ZERO_INSIDE)
def test_what_lies_beside_zero_need_not_be_zero(name: str) -> None:
    """A border, a fill or an update is not multiplied by zero."""
    fn = lambda x: x + (ZERO_INSIDE[name](x) + 7)  # noqa: E731
    cert = certify(fn, image())
    assert refuted(fn, cert, np.int32) == []
    assert cert.axes[0].exact != (0, 24)
    whole = sj.plan_tiles(fn, (1, 40, 2), tile=8, dtype=np.int32)
    x = jnp.arange(80, dtype=np.int32).reshape(1, 40, 2)
    padded = jnp.pad(x, whole.pad_width, mode="reflect")
    same = np.array_equal(sj.predict_tiled(fn, x, whole), fn(padded)[whole.whole_crop])
    assert same or not whole.equals_whole


def test_outputs_that_change_places_are_not_the_same() -> None:
    """What is left out has a place too."""

    def swapped(x: Any) -> Any:
        whole = jnp.cumsum(x, 1)
        return (whole, x * 3) if x.shape[1] < 30 else (x * 3, whole)

    small, large = (certify(swapped, image(shape=(1, n, 2))) for n in (16, 64))
    assert (small.places, large.places) == ((1,), (0,))
    assert not small.same_map(large)


def test_slices_put_back_along_another_axis_are_another_map() -> None:
    """The transposed image has the same slices."""
    shape = (1, 6, 6, 2)

    def stacked(x: Any, k: int) -> Any:
        return jnp.stack([x[:, i] for i in range(6)], k)

    def filled(x: Any, k: int) -> Any:
        y = jnp.zeros_like(x)
        for i in range(6):
            y = y.at[:, i].set(x[:, i]) if k == 1 else y.at[:, :, i].set(x[:, i])
        return y

    for put in (stacked, filled):
        along = [certify(partial(put, k=k), image(shape=shape)) for k in (1, 2)]
        assert not along[0].same_map(along[1])
        assert along[0].same_map(certify(partial(put, k=1), image(shape=shape)))


def test_rows_of_rounded_constants_are_rounded() -> None:
    """Where XLA computes 27 and the proof 26, a start along the image stays undecided, also row by row of a scan."""

    def read(x: Any) -> Any:
        numbers = (jnp.arange(1, 61, dtype=jnp.float32) / 49 * 49)[26:27]
        start = lambda s: (0, jnp.floor(s).astype(jnp.int32), 0)  # noqa: E731
        return lax.scan(lambda h, s: (h, lax.dynamic_slice(x, start(s), (1, 100, 2))), 0, numbers)[1]

    with pytest.raises(CertificationError):
        certify(read, image(shape=(1, 200, 2)))


def cut_rows(z: Any) -> tuple[Any, Any]:
    """Rows of one map, of which the first one of the second half is a border."""
    return z[:, 5:], jnp.concatenate([jnp.zeros_like(z[:, :1]), z[:, 6:]], 1)


@pytest.mark.parametrize(
    "fn",
    [
        lambda a, b: jnp.concatenate([a[:, 0, :4], b[:, 0, 4:]], 1)[:, None],
        lambda a, b: jnp.stack([a[:, i].at[:, 4:].set(b[:, i, 4:]) for i in range(5)], 1),
        lambda a, b: lax.map(
            lambda r: jnp.concatenate([r[0][:, :4], r[1][:, 4:]], 1), (jnp.moveaxis(a, 1, 0), jnp.moveaxis(b, 1, 0))
        ).swapaxes(0, 1),
    ],
)
def test_slices_that_are_put_together_are_as_exact_as_all_of_them(fn: Any) -> None:
    """A row of zeros is no row of the map, though both have its name."""
    z = jnp.asarray(np.random.default_rng(0).integers(1, 99, (1, 10, 8, 2)), np.int32)
    whole = lambda z: fn(*cut_rows(z))  # noqa: E731
    first = certify(whole, image(shape=z.shape)).axes
    rows, columns = (slice(*axis.exact) for axis in first)
    assert np.array_equal(np.asarray(whole(z))[:, rows, columns], z[:, 5:][:, rows, columns])


def test_a_random_key_beside_the_image_is_left_out() -> None:
    """Witnesses are looked for without it."""
    cert = certify(lambda x: (x[:, ::2], jax.random.key(0)), image())
    assert cert.outputs[0].axes[0].minimal
    assert cert.left_out


def test_a_long_scan_has_a_direction() -> None:
    """Backwards, 300 rows of parameters make another map."""
    weights = np.random.default_rng(0).integers(1, 9, (300, 2)).astype(np.int32)

    def scanned(x: Any, reverse: bool) -> Any:
        return lax.scan(lambda h, w: (h * w + 1, None), x, weights, reverse=reverse)[0]

    forward, backward = (certify(partial(scanned, reverse=reverse), image()) for reverse in (False, True))
    assert not forward.same_map(backward)
    assert forward.same_map(certify(partial(scanned, reverse=False), image()))


def test_a_reshape_that_transposes_first_repeats_nothing() -> None:
    """Rows of parameters that are spread along columns, and read along the columns again."""

    def turned(p: Any, x: Any) -> Any:
        square = lax.reshape(jnp.broadcast_to(p[:, None], (24, 24)), (24, 24), dimensions=(1, 0))
        return x * square[:1, :, None]

    def tiled(p: Any, x: Any) -> Any:
        return x * lax.reshape(jnp.broadcast_to(p[:, None], (4, 6)), (24,), dimensions=(1, 0))[None, :, None]

    for fn, size in ((turned, 24), (tiled, 4)):
        try:
            cert = certify(Partial(fn, jax.ShapeDtypeStruct((size,), np.int32)), image())
        except CertificationError:
            continue
        assert refuted(partial(fn, jnp.arange(size) + 3), cert, np.int32) == []


def test_outputs_are_judged_one_by_one() -> None:
    """What has no proof is named, and left out; also from inside a call."""
    both = lambda x: {"net": x[:, 1:], "mean": x.mean(), "own": jnp.ones(3)}  # noqa: E731
    for fn in (both, jax.jit(both)):
        cert = certify(fn, image(np.float32))
        assert [leaf.name for leaf in cert.leaves] == ["['net']"]
        assert {one.name: one.place for one in cert.left_out} == {"['mean']": 0, "['own']": 2}
        assert "Left out: output ['mean']" in cert.explain()
        assert Certificate.from_json(cert.to_json()) == cert
        assert batchwise(fn, image(np.float32))
    mixing = lambda x: (x, x.mean((1, 2)), x - x[:1])  # noqa: E731
    assert not batchwise(mixing, image(np.float32))


BAD = """
import numpy as np
from shiftjax.certifier import certify

x = np.zeros((1, 8, 2), np.float32)
for fn, options in [(3, {}), (abs, {"spatial_axes": 1}), (abs, {"spatial_axes": ("a",)}), (abs, {"output_axes": 1})]:
    try:
        certify(fn, x, **options)
    except ValueError as error:
        print(error)
"""


def test_bad_arguments_are_answered_in_a_sentence() -> None:
    """In a program of its own, where annotations are not checked."""
    done = subprocess.run([sys.executable, "-c", BAD], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "`fn`: expected a function of one array, found 3.",
        "`spatial_axes`: expected integers, one per image axis, found 1.",
        "`spatial_axes`: expected integers, one per image axis, found ('a',).",
        "`output_axes`: expected integers, one per image axis, found 1.",
    ]


def test_axes_beyond_the_rank() -> None:
    """They are not counted round: axis 4 of three is not axis 1."""
    with pytest.raises(CertificationError, match=r"not at \(4,\)"):
        certify(lambda x: x, image(), output_axes=(4,))
    assert certify(lambda x: x, image(), output_axes=(-2,)).output_axes == (1,)


@pytest.mark.parametrize("fn", [lambda x: None, lambda x: ()])
def test_functions_without_an_output(fn: Any) -> None:
    with pytest.raises(CertificationError, match="returns no array"):
        certify(fn, image())


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 1}', '{"format": 1, "leaves": 3}', json.dumps({"a": 1})])
def test_text_that_is_no_certificate(text: str) -> None:
    with pytest.raises(ValueError, match="expected a certificate of format 4"):
        Certificate.from_json(text)


def test_unpooling_has_a_name() -> None:
    """Its parameters name an operation: the same at every trace, and another for minima."""
    unpool = next(case.fn for case in CASES if case.name == "unpool")
    assert certify(unpool, image(np.float32)).same_map(certify(unpool, image(np.float32)))
