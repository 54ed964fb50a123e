"""Streams of functions of all kinds, against the image in one piece; what cannot be streamed, and plans of streams."""

from __future__ import annotations

import json
import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax
from jax.tree_util import Partial

import shiftjax as sj
from proofs_tests.certifier.judge import parameters
from proofs_tests.certifier.programs import programs
from proofs_tests.certifier.test_random_programs import QUIET
from proofs_tests.support.profiles import examples
from proofs_tests.support.streamed import compare
from shiftjax._streams import NotStreamable, Stream
from shiftjax._xla_cpu import RESIDENT_OVER_ESTIMATE
from shiftjax.tiling import StreamAxis, TilePlan
from shiftjax.tiling._compiled import CompiledFunction
from shiftjax.tiling._streaming import call

RNG = np.random.default_rng(0)
KERNEL = RNG.integers(-9, 9, (3, 2, 2)).astype(np.int32) * 2 + 1


def conv(x: Any, kernel: Any = KERNEL, stride: int = 1, padding: Any = "VALID", **options: Any) -> Any:
    return lax.conv_general_dilated(x, kernel, (stride,), padding, dimension_numbers=("NHC", "HIO", "NHC"), **options)


def pooled(x: Any, size: int = 2, stride: int = 2) -> Any:
    window = (1, size, 1), (1, stride, 1)
    return lax.reduce_window(x, jnp.iinfo(x.dtype).min, lax.max, *window, "VALID")


def doubled(x: Any) -> Any:
    return jnp.repeat(x[:, :, None], 2, axis=2).reshape(x.shape[0], -1, x.shape[2])


def skipped(x: Any) -> Any:
    """One level of an encoder-decoder."""
    y = doubled(conv(pooled(conv(x[:, : x.shape[1] // 2 * 2]))))
    return jnp.concatenate([conv(x)[:, 3 : 3 + y.shape[1]], y], -1)


def filled(x: Any) -> Any:
    """Two halves, computed one after the other in a loop that fills an array."""
    n = (x.shape[1] - 2) // 2

    def fill(i: Any, y: Any) -> Any:
        part = conv(lax.dynamic_slice_in_dim(x, i * n, n + 2, 1))
        return lax.dynamic_update_slice_in_dim(y, part, i * n, 1)

    return lax.fori_loop(0, 2, fill, jnp.zeros((1, 2 * n, 2), x.dtype))


def several(x: Any) -> Any:
    """Outputs of other strides, which come out at other times."""
    y = conv(x)
    return {"coarse": pooled(y, 4, 4), "fine": conv(y), "twice": doubled(y)}


STACKED = RNG.integers(-9, 9, (2, 3, 2, 2)).astype(np.int32)
STREAMED = {
    "a convolution": conv,
    "with a bias": lambda x: jax.nn.relu(conv(x) + np.arange(2, dtype=np.int32)),
    "dilated": lambda x: conv(x, rhs_dilation=(3,)),
    "strided": lambda x: conv(x, stride=2),
    "transposed": lambda x: conv(x, lhs_dilation=(2,), padding=[(2, 2)]),
    "strided and transposed": lambda x: conv(conv(x, stride=3), lhs_dilation=(3,), padding=[(2, 0)]),
    "padded": lambda x: conv(conv(x, padding="SAME") + 7, padding="SAME"),
    "reflected": lambda x: conv(jnp.pad(x, ((0, 0), (2, 1), (0, 0)), mode="reflect")),
    "pooled": pooled,
    "pooled, overlapping": lambda x: pooled(x, 3, 2),
    "summed": lambda x: lax.reduce_window(x, 0, lax.add, (1, 5, 1), (1, 1, 1), "SAME"),
    "every third": lambda x: x[:, 1::3],
    "a skip": skipped,
    "a shorter skip": lambda x: x[:, 4:-4] - conv(conv(conv(conv(x)))),
    "an unshuffle": lambda x: x.reshape(1, -1, 2 * x.shape[2]),
    "a pattern": lambda x: x * np.array([3, 5], np.int32)[np.arange(x.shape[1]) % 2][:, None],
    "a loop": filled,
    "the nearest pixel, larger": lambda x: jax.image.resize(conv(x), (1, 2 * (x.shape[1] - 2), 2), "nearest"),
    "the nearest pixel, smaller": lambda x: conv(jax.image.resize(x, (1, x.shape[1] // 3, 2), "nearest")),
    "looked up": lambda x: conv(x[:, np.arange(x.shape[1] // 4 * 4) // 4 * 4 + [2, 0, 3, 1] * (x.shape[1] // 4)]),
    "several": several,
    "a scan over stacked weights": lambda x: lax.scan(lambda y, w: (conv(y, w, padding="SAME"), None), x, STACKED)[0],
    "with a product of channels": lambda x: x @ KERNEL[0],
    "sorted channels": lambda x: jnp.sort(conv(x), axis=-1),
}


def certificate(fn: Any, n: int = 24) -> sj.Certificate:
    return sj.certify(fn, jax.ShapeDtypeStruct((1, n, 2), jnp.int32))


@pytest.mark.parametrize("name", STREAMED)
def test_a_stream_equals_the_image_in_one_piece(name: str) -> None:
    fn = STREAMED[name]
    assert compare(fn, certificate(fn), 0, 2, RNG) == ""


@settings(max_examples=max(4, examples() // 5), **QUIET)
@given(programs(), st.integers(0, 2**32 - 1), st.data())
def test_random_programs(program: Any, seed: int, data: Any) -> None:
    """What is streamed at all is streamed exactly."""
    rng = np.random.default_rng(seed)
    fn = Partial(program.apply, parameters(rng, program.parameter_shapes()))
    try:
        cert = sj.certify(fn, jax.ShapeDtypeStruct(program.shape, jnp.int32))
    except sj.CertificationError:
        return
    compare(fn, cert, data.draw(st.integers(0, len(program.shape) - 3)), data.draw(st.integers(1, 3)), rng)


def backwards(x: Any) -> Any:
    return x[:, ::-1][:, :-1][:, ::-1]


def holes(x: Any) -> Any:
    return conv(x, KERNEL[:1], lhs_dilation=(2,), padding=[(0, 1)]) + 1


def by_rows(x: Any) -> Any:
    rows = jnp.moveaxis(x, 1, 0)
    return jnp.moveaxis(lax.scan(lambda carry, row: (carry, row * 2), 0, rows)[1], 0, 1)


REFUSED = {
    backwards: "runs backwards along the axis",
    holes: "some of its indices read nothing",
    by_rows: "no rule for this operation: `scan`",
}


@pytest.mark.parametrize("fn", REFUSED)
def test_what_cannot_be_streamed_is_refused_with_the_reason(fn: Any) -> None:
    x = jax.ShapeDtypeStruct((1, 24, 2), jnp.int32)
    with pytest.raises(NotStreamable, match=REFUSED[fn]):
        Stream(fn, x, 0, [0])
    with pytest.raises(
        ValueError, match=rf"^`stream`: expected an axis .* found 0.*{REFUSED[fn]}.*; give another axis"
    ):
        sj.plan_tiles(fn, (1, 60, 2), tile=8, dtype=jnp.int32, stream=0)
    plan = sj.plan_tiles(fn, (1, 60, 2), tile=8, dtype=jnp.int32, stream=True)
    assert plan.stream is None
    assert re.search(REFUSED[fn], plan.explain())


@pytest.mark.parametrize("length", [16, 1])
def test_an_image_smaller_than_a_step(length: int) -> None:
    """Its tile reads fewer pixels than one delivers elsewhere, and a stream along it gains nothing."""

    def pooled_twice(x: Any) -> Any:
        for _ in range(2):
            window = (1, 2, 2, 1), (1, 2, 2, 1)
            x = lax.reduce_window(x, jnp.iinfo(x.dtype).min, lax.max, *window, "SAME")
        return x

    for shape in ((1, 2, length, 1), (1, length, 2, 1)):
        image = RNG.integers(-99, 99, shape).astype(np.int32)
        plan = sj.plan_tiles(pooled_twice, shape, tile=4, dtype=jnp.int32, pad=None, stream=True)
        assert max(along.step - along.tile for along in plan.axes) > 0  # control: it is such a case
        assert np.array_equal(sj.predict_tiled(pooled_twice, image, plan), pooled_twice(image))


@pytest.mark.parametrize("stream", [2, -1])
def test_an_axis_that_is_none(stream: int) -> None:
    with pytest.raises(ValueError, match=r"^`stream`: expected a spatial axis counted from 0 \(0 to 1\), True, False"):
        sj.plan_tiles(lambda x: x, (1, 8, 8, 1), stream=stream)


def test_seams_are_not_studied_along_a_stream() -> None:
    with pytest.raises(ValueError, match=r"^`stream`: expected None, with `illegal_tile`"):
        sj.plan_tiles(conv, (1, 60, 2), tile=7, illegal_tile=True, stream=0)


def image_of(plan: TilePlan) -> np.ndarray:
    return np.random.default_rng(1).integers(-99, 99, plan.image_shape).astype(np.int32)


@pytest.mark.parametrize("pad", ["reflect", "edge", "constant", None])
def test_outputs_of_other_strides_and_several_images(pad: str | None) -> None:
    plan = sj.plan_tiles(several, (1, 50, 2), tile=8, pad=pad, dtype=jnp.int32, stream=0)
    assert plan.equals_whole
    assert TilePlan.from_json(plan.to_json()) == plan
    image = image_of(plan)
    padded = image if pad is None else np.pad(image, plan.pad_width, mode=pad)  # type: ignore[call-overload]
    whole, ours = several(padded), sj.predict_tiled(several, image, plan)
    for output in plan.outputs:
        name = output.name.strip("[']")
        np.testing.assert_array_equal(ours[name], np.asarray(whole[name])[output.whole_crop])


def test_a_batch_and_strips_across_the_other_axis() -> None:
    net = sj.UNet(2, features=2, factors=(2,), convs=1, param_dtype=jnp.int32)
    size = net.legal_sizes(20)[0][0][0]
    variables = sj.testing.integer_variables(jax.random.key(0), net, jnp.zeros((1, size, size, 1), jnp.int32))
    fn = Partial(net.apply, variables)
    plan = sj.plan_tiles(fn, (2, 30, 23, 1), tile=8, dtype=jnp.int32, stream=1)
    tiles = sj.plan_tiles(fn, (2, 30, 23, 1), tile=8, dtype=jnp.int32)
    assert plan.redundancy < tiles.redundancy
    assert "4 strips along spatial axis 1" in plan.explain()
    image = image_of(plan)
    np.testing.assert_array_equal(sj.predict_tiled(fn, image, plan), sj.predict_tiled(fn, image, tiles))
    mesh = jax.sharding.Mesh(np.array(jax.devices()[:1]), ("x",))
    options: list[dict[str, Any]] = [{"batch_size": 2}, {"devices": []}, {"mesh": mesh}]
    for option in options:
        with pytest.raises(ValueError, match="plan with `stream=False`"):
            sj.predict_tiled(fn, image, plan, **option)


def test_memory_is_estimated_and_kept() -> None:
    plan = sj.plan_tiles(conv, (1, 10**6, 2), memory_bytes=2**20, dtype=jnp.int32, stream=0)
    assert plan.memory is not None
    assert plan.memory <= 2**20
    assert plan.redundancy < 1.01
    with pytest.raises(ValueError, match="`memory_bytes`: expected at least"):
        sj.plan_tiles(conv, (1, 10**6, 2), memory_bytes=100, dtype=jnp.int32, stream=0)


@pytest.mark.parametrize("pad", ["reflect", None])
def test_the_estimate_holds_the_step_that_runs(pad: str | None) -> None:
    """What XLA says of the step itself, its crop included; of what is held, only one copy: it is used again."""

    def fn(x: Any) -> Any:
        return conv(conv(x, padding="SAME"), padding="SAME")

    plan = sj.plan_tiles(fn, (1, 10**5, 2), memory_bytes=2**21, pad=pad, dtype=jnp.int32, stream=0)
    function = CompiledFunction.of(fn, plan.certificate.fingerprint)
    traced = jax.ShapeDtypeStruct(plan.certificate.shape, plan.dtype)
    stream = call.derived(function, traced, 0, plan.certificate.places, plan.streamed_ends)
    arguments: list[Any] = [call.constants(function.arrays, stream), call.initial(stream)]
    arguments += [jnp.zeros((1, *plan.tile_input, 2), jnp.int32), None if pad else np.int32(0)]
    starts = None if pad else np.zeros((1, 1), np.int32)
    analysis = call.step.lower(*arguments, starts, stream, plan.crops).compile().memory_analysis()
    assert analysis is not None
    held = sum(array.nbytes for array in jax.tree.leaves(arguments[1]))
    assert analysis.alias_size_in_bytes >= held > 0
    taken = analysis.argument_size_in_bytes + analysis.output_size_in_bytes + analysis.temp_size_in_bytes
    assert plan.memory is not None
    assert taken - analysis.alias_size_in_bytes <= plan.memory <= 2**21


@pytest.mark.parametrize("pad", ["reflect", None])
def test_outputs_that_wait_for_a_later_one_are_counted(pad: str | None) -> None:
    """Of the early one, as many steps are held as the late one lies behind it."""

    def fn(x: Any) -> Any:
        late = conv(x, rhs_dilation=(30000,), padding=[(30000, 30000)])
        return {"early": jnp.concatenate([x] * 32, -1), "late": late}

    plan = sj.plan_tiles(fn, (1, 10**6, 2), memory_bytes="16MiB", pad=pad, dtype=jnp.int32, stream=0)
    along, (early, late) = plan.axes[0], plan.outputs
    assert isinstance(along, StreamAxis)
    step = [4 * one.channels * one.tile[0] for one in (early, late)]
    held = (along.latency - along.behind(0) // along.kept(0) + 1) * step[0] + step[1]
    assert plan.memory is not None
    assert held <= plan.memory * RESIDENT_OVER_ESTIMATE
    assert held > 4 * sum(step), "the control: more than of outputs that come together"


def test_linear_resizing_along_the_axis_is_refused_and_has_tiles() -> None:
    def linear(x: Any) -> Any:
        return jax.image.resize(x, (1, 2 * x.shape[1], 2), "linear")

    with pytest.raises(ValueError, match=r"cannot \(a product sums along the axis: .*; give another axis"):
        sj.plan_tiles(linear, (1, 60, 2), tile=8, stream=0)
    assert "sums along the axis" in sj.plan_tiles(linear, (1, 60, 2), tile=8, stream=True).explain()


def test_a_plan_that_does_not_fit_together_is_refused() -> None:
    plan = sj.plan_tiles(conv, (1, 60, 2), tile=8, dtype=jnp.int32, stream=0)
    data = json.loads(plan.to_json())
    wrong: list[dict[str, Any]] = [{"stream": 1}, {"stream": True}, {"stream": None}, {"unstreamed": 3}]
    for entry in [*wrong, {"leads": []}, {"leads": [0.5]}]:
        with pytest.raises(ValueError, match="expected a tile plan of format"):
            TilePlan.from_json(json.dumps({**data, **entry}))
    other = TilePlan.from_json(json.dumps({**data, "leads": [-3]}))
    with pytest.raises(ValueError, match="plan again"):
        sj.predict_tiled(conv, image_of(plan), other)


@pytest.mark.parametrize("n", [32, 33, 50])
def test_strided_outputs_of_any_size_are_the_whole(n: int) -> None:
    """The image is padded by whole steps, as tiles pad it, so that an output of stride 2 covers the last pixel."""
    image = jnp.arange(2 * n, dtype=jnp.int32).reshape(1, n, 2)

    def fn(x: Any) -> Any:
        return x[:, ::2] * 3

    plan = sj.plan_tiles(fn, image.shape, tile=8, dtype=jnp.int32, stream=0)
    assert plan.equals_whole, plan.why
    whole = fn(jnp.pad(image, plan.pad_width, mode="reflect"))
    np.testing.assert_array_equal(sj.predict_tiled(fn, image, plan), whole[plan.whole_crop])


def test_what_a_function_closes_over_is_looked_at_anew() -> None:
    start = [2]

    def fn(x: Any) -> Any:
        return x[:, start[0] : x.shape[1] - 7 + start[0]] * 3

    image = jnp.arange(40, dtype=jnp.int32).reshape(1, 40, 1)
    for start[0] in (2, 5):
        plan = sj.plan_tiles(fn, image.shape, tile=8, dtype=jnp.int32, stream=0)
        whole = fn(jnp.pad(image, plan.pad_width, mode="reflect"))
        np.testing.assert_array_equal(sj.predict_tiled(fn, image, plan), whole[plan.whole_crop])


def test_a_plan_that_was_edited_to_another_size_is_refused() -> None:
    """Of a function that is another one at odd sizes."""

    def fn(x: Any) -> Any:
        n = x.shape[1]
        return x[:, n % 2 :][:, ::2][:, : n // 2] * 3

    plan = sj.plan_tiles(fn, (1, 40, 1), tile=8, dtype=jnp.int32, pad=None, stream=0)
    assert sj.TilePlan.from_json(plan.to_json()) == plan  # the control
    edited = json.loads(plan.to_json()) | {"image_shape": [1, 41, 1]}
    with pytest.raises(ValueError, match="expected a tile plan"):
        sj.TilePlan.from_json(json.dumps(edited))


WIDE = (1, 8000, 400, 1)


def deep(x: Any) -> Any:
    """Convolutions of an image of two axes, whose tiles read much more than they give."""
    for _ in range(4):
        x = once(once(x, 5), 5)
    return x


def once(x: Any, dilation: int = 1) -> Any:
    kernel, layout = jnp.ones((3, 3, x.shape[-1], 8), jnp.float32), ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(x, kernel, (1, 1), "VALID", rhs_dilation=(dilation,) * 2, dimension_numbers=layout)


@pytest.fixture
def one_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jax, "local_device_count", lambda: 1)


def test_a_stream_is_chosen_where_it_takes_less(one_device: None) -> None:
    tiles = sj.plan_tiles(deep, WIDE, memory_bytes="1MiB", stream=False)
    plan = sj.plan_tiles(deep, WIDE, memory_bytes="1MiB")
    assert (tiles.stream, tiles.unstreamed) == (None, "")
    assert plan.stream is not None
    assert plan.memory is not None
    assert plan.memory <= 2**20
    assert plan.redundancy < tiles.redundancy


def test_and_is_not_where_it_does_not(one_device: None) -> None:
    """One tile; a halo of a pixel; a wished tile; no memory; what cannot be streamed."""
    assert "one tile" in sj.plan_tiles(deep, (1, 40, 40, 1), memory_bytes="64MiB").explain()
    plan = sj.plan_tiles(once, (1, 4000, 400, 1), memory_bytes="1MiB")
    assert plan.stream is None
    assert re.search(r"not streamed: along spatial axis 0 a stream would take \d.\d\d of the work", plan.explain())
    assert sj.plan_tiles(deep, WIDE, memory_bytes="2MiB", tile=40).unstreamed == ""
    assert sj.plan_tiles(deep, WIDE).stream is None
    plan = sj.plan_tiles(backwards, (1, 10**6, 2), memory_bytes="1MiB", dtype=jnp.int32)
    assert "runs backwards along the axis" in plan.explain()


def test_several_devices_are_given_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jax, "local_device_count", lambda: 2)
    assert "runs on one device" in sj.plan_tiles(deep, WIDE, memory_bytes="1MiB").explain()
