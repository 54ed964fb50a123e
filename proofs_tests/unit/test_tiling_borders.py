"""Tiles of an image that is not padded: the result is the function of the whole image, its border included."""

import collections
import math
from functools import cache
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
from proofs_tests.certifier.programs import Program, programs
from proofs_tests.certifier.test_random_programs import QUIET
from proofs_tests.support.profiles import examples
from shiftjax.tiling._geometry import axis_tiles
from shiftjax.volume._targets.provenance import function_provenance

KERNEL: Any = (np.random.default_rng(0).integers(-9, 9, (3, 1, 1)) * 2 + 1).astype(np.int32)


def conv(x: Any, padding: Any = "SAME", stride: int = 1) -> Any:
    return lax.conv_general_dilated(x, KERNEL, (stride,), padding, dimension_numbers=("NHC", "HIO", "NHC"))


def injective(x: Any) -> Any:
    return jnp.where(x >= 0, x, 1 - 5 * x)


def padded(x: Any, mode: str) -> Any:
    return conv(jnp.pad(x, ((0, 0), (1, 1), (0, 0)), mode=mode), "VALID")


FUNCTIONS: dict[str, Any] = {
    "same": lambda x: conv(injective(conv(x))),
    "valid": lambda x: conv(conv(x, "VALID"), "VALID"),
    "mixed": lambda x: conv(conv(x), "VALID") + conv(x, "VALID"),
    "asymmetric": lambda x: conv(x, [(2, 0)]),
    "full": lambda x: conv(x, [(2, 2)]),
    "reflected": lambda x: padded(injective(padded(x, "reflect")), "reflect"),
    "edge": lambda x: padded(x, "edge"),
    "strided": lambda x: conv(conv(x, stride=2)),
    "strided and back": lambda x: jnp.repeat(conv(conv(x), stride=2), 2, axis=1)[:, : x.shape[1]] + x,
    "finer": lambda x: conv(jnp.repeat(conv(x), 3, axis=1)),
    "its border set": lambda x: conv(x.at[:, :2].set(7).at[:, -1].set(3)),
    "several": lambda x: {"a": conv(x, stride=2), "b": conv(x), "c": conv(x, "VALID"), "d": jnp.repeat(x, 2, axis=1)},
}


def image(*shape: int) -> jax.Array:
    return jnp.asarray(np.random.default_rng(1).integers(-99, 99, shape, dtype=np.int32))


def equal(one: Any, other: Any) -> bool:
    return jax.tree.all(jax.tree.map(lambda a, b: a.shape == b.shape and np.array_equal(a, b), one, other))


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("size", [5, 29, 42])
def test_the_result_is_that_of_the_whole_image(name: str, size: int) -> None:
    fn, x = FUNCTIONS[name], image(2, size, 1)
    plan = sj.plan_tiles(fn, x.shape, tile=8, pad=None, dtype=jnp.int32)
    assert (plan.pad, plan.equals_whole, plan.legal) == (None, True, True)
    assert plan.pad_width == ((0, 0),) * 3
    assert (plan.grid == (1,)) == (size < 20)
    stitched = sj.predict_tiled(fn, x, plan)
    assert equal(stitched, fn(x))
    again = sj.TilePlan.from_json(plan.to_json())
    assert again == plan
    assert equal(sj.predict_tiled(fn, x, again, batch_size=3), stitched)


def _columns(x: Any, value: int) -> Any:
    return jnp.pad(x, ((0, 0), (0, 0), (1, 1), (0, 0)), constant_values=value)


def _halves(x: Any) -> Any:
    half = x.shape[1] // 2
    return jnp.concatenate([_columns(x, 0)[:, :half], _columns(x, 1)[:, half:]], axis=1)


def _counted(n: int) -> Any:
    return jnp.arange(n, dtype=jnp.int32)[:, None]


# What lies at the border along one axis changes along another one, at places that no larger image keeps.
CORNERS: dict[str, Any] = {
    "halves with other ends": _halves,
    "a row with other ends": lambda x: _columns(x, 0).at[:, 5].set(_columns(x, 1)[:, 5]),
    "rows with ends of their own": lambda x: jnp.stack([_columns(x, i * i % 3)[:, i] for i in range(x.shape[1])], 1),
    "a corner": lambda x: x.at[:, :2, :2].set(5),
    "half of a column": lambda x: x.at[:, x.shape[1] // 2 :, 0].set(5),
    "a pixel": lambda x: x.at[:, x.shape[1] // 2, 0].add(5),
    "a row of numbers": lambda x: x.at[:, 0].set(_counted(x.shape[2])),
    "a column of numbers": lambda x: x.at[:, :, 0].add(_counted(x.shape[1])),
    "a row of numbers before": lambda x: jnp.concatenate([_counted(x.shape[2])[None, None], x], 1),
    "mirrored rows": lambda x: jnp.concatenate([x[:, :2, ::-1], x], 1),
    "rolled rows": lambda x: x.at[:, :2].set(jnp.roll(x, 3, 2)[:, :2]),
    "rows moved along": lambda x: x.at[:, :2, 3:].set(x[:, :2, :-3]),
    "two corners": lambda x: x.at[:, -2:, -2:].set(0).at[:, :2, :2].set(0),
}


@pytest.mark.parametrize("name", CORNERS)
def test_a_border_that_changes_along_another_axis(name: str) -> None:
    fn, picture = CORNERS[name], image(1, 24, 20, 1)
    for tile in (8, (8, 64), (64, 8)):
        plan = sj.plan_tiles(fn, picture.shape, tile=tile, pad=None, dtype="int32")
        assert equal(sj.predict_tiled(fn, picture, plan), fn(picture))


def test_control_a_border_alike_all_along_has_tiles() -> None:
    plan = sj.plan_tiles(lambda x: x.at[:, 0].set(7), (1, 24, 20, 1), tile=8, pad=None, dtype="int32")
    assert plan.grid == (3, 3)


def test_a_function_that_refuses_small_tiles_is_told_in_words() -> None:
    def large(x: Any) -> Any:
        if x.shape[1] < 30:
            raise RuntimeError("too small")
        return jnp.pad(x, ((0, 0), (2, 2), (0, 0)), mode="edge")

    with pytest.raises(ValueError, match="too small"):
        sj.plan_tiles(large, (1, 300, 1), memory_bytes="2MB", pad=None, dtype="int32")


def test_control_a_window_one_pixel_wider_is_refuted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiles that deliver a pixel more than their border windows hold give another image."""
    fn, x = FUNCTIONS["same"], image(1, 40, 1)
    plan = sj.plan_tiles(fn, x.shape, tile=8, pad=None, dtype=jnp.int32)
    assert equal(sj.predict_tiled(fn, x, plan), fn(x))
    original = axis_tiles.AxisTiles.origin
    for by in (-1, 1):  # tiles that begin a pixel earlier or later, so that a kept pixel lies beyond a window
        monkeypatch.setattr(
            axis_tiles.AxisTiles,
            "origin",
            lambda self, i, by=by: min(
                max(original(self, i) + by * (0 < i < self.count - 1), 0), self.image - self.tile
            ),
        )
        assert not equal(sj.predict_tiled(fn, x, plan), fn(x))


def test_the_outer_tiles_touch_the_border() -> None:
    plan = sj.plan_tiles(FUNCTIONS["same"], (1, 41, 1), tile=8, pad=None, dtype=jnp.int32)
    starts = [plan.input_start(tile)[0] for tile in plan.tiles()]
    assert starts[0] == 0
    assert starts[-1] + plan.tile_input[0] == 41
    assert starts == sorted(starts)
    assert "Nothing is padded" in plan.explain()
    assert plan.whole_crop == (slice(None), slice(0, 41), slice(None))


def test_tiles_compile_once() -> None:
    """Also where they keep other pixels at the border than inside."""
    traces = collections.Counter[tuple[int, ...]]()

    def fn(x: Any) -> Any:
        traces[x.shape] += 1
        return conv(x)

    x = image(1, 60, 1)
    plan = sj.plan_tiles(fn, x.shape, tile=8, pad=None, dtype=jnp.int32)
    traces.clear()
    sj.predict_tiled(fn, x, plan)
    assert math.prod(plan.grid) > 4
    assert set(traces) <= {(n, *plan.tile_input, 1) for n in range(1, plan.batch_size + 1)}
    before = sum(traces.values())
    sj.predict_tiled(fn, x, plan)
    assert sum(traces.values()) <= before + 1, "the certificate traces the function again, nothing else does"


def wrapped(x: Any) -> Any:
    return padded(x, "wrap")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"fn": wrapped, "image_shape": (1, 2**21, 1)}, "output at the image's border along axis 1 is not proved"),
        ({"illegal_tile": True, "tile": 3}, "`pad`: expected a padding, with `illegal_tile`"),
        (
            {"fn": lambda x: x + jnp.repeat(x[:, ::4], 4, axis=1), "image_shape": (1, 30, 1)},
            "30 px, for which it raises .* cut or pad the image to 28 or 32 px",
        ),
    ],
)
def test_what_has_no_such_tiles_is_refused_in_one_sentence(arguments: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words) as error:
        sj.plan_tiles(**{"fn": conv, "image_shape": (1, 40, 1), "dtype": jnp.int32, "pad": None, **arguments})
    assert "\n" not in str(error.value)


def bilinear(x: Any) -> Any:
    """Downsampled and up again, linearly; which axis comes first depends on whether the image is wider than tall."""
    return jax.image.resize(x[:, ::2, ::2], x.shape, "linear") + x


@pytest.mark.parametrize("space", [(40, 64), (64, 40)])
def test_rounded_weights_at_the_border(space: tuple[int, int]) -> None:
    """Linear resizing divides its weights there by their sum, which is rounded: the plan says so, and how far off."""
    x = jnp.asarray(np.random.default_rng(0).normal(size=(1, *space, 1)), jnp.float32)
    plan = sj.plan_tiles(bilinear, x.shape, tile=8, pad=None)
    assert min(plan.grid) > 3
    assert not plan.equals_whole
    assert "rounded at the border" in plan.why
    np.testing.assert_allclose(sj.predict_tiled(bilinear, x, plan), jax.jit(bilinear)(x), atol=1e-5)
    assert sj.plan_tiles(bilinear, x.shape, tile=8).equals_whole, "the exact window holds none of them"


@pytest.mark.parametrize("stream", [False, 0])
@pytest.mark.parametrize("tile", [8, 64])
def test_a_fill_that_changed_is_seen(stream: Any, tile: int) -> None:
    """The interior is the same map, of one fingerprint; what lies beside the image is in the version alone."""
    fill = [0]

    def fn(x: Any) -> Any:
        y = jnp.pad(x, ((0, 0), (1, 1), (0, 0)), constant_values=fill[0])
        return y[:, :-2] + 3 * y[:, 1:-1] + 5 * y[:, 2:]

    x, plans = image(1, 40, 1), []
    for fill[0] in (0, 7):
        plans.append(sj.plan_tiles(fn, x.shape, tile=tile, pad=None, dtype=jnp.int32, stream=stream))
        assert equal(sj.predict_tiled(fn, x, plans[-1]), fn(x))
    one, other = (plan.certificate for plan in plans)
    assert one.fingerprint == other.fingerprint
    assert one.version != other.version
    assert function_provenance(fn, one) != function_provenance(fn, other)
    with pytest.raises(ValueError, match="computes something else"):
        sj.predict_tiled(fn, x, plans[0])


@pytest.mark.parametrize("stream", [False, 0])
def test_a_fill_that_changed_is_seen_where_ends_have_no_names(stream: Any) -> None:
    """Rolled around across: an image in one piece, of whose ends nothing is known, and yet another function."""
    fill = [0]

    def fn(x: Any) -> Any:
        y = jnp.pad(x, ((0, 0), (1, 1), (0, 0), (0, 0)), constant_values=fill[0])
        return jnp.roll(y[:, :-2] + 3 * y[:, 2:], 2, axis=2)

    x = image(1, 24, 20, 1)
    plan = sj.plan_tiles(fn, x.shape, tile=8, pad=None, dtype=jnp.int32, stream=stream)
    plan = sj.tiling.TilePlan.from_json(plan.to_json())
    assert not all(name for leaf in plan.certificate.leaves for ends in leaf.borders for name in ends)
    assert equal(sj.predict_tiled(fn, x, plan), fn(x)), "the control"
    fill[0] = 7
    with pytest.raises(ValueError, match="computes something else"):
        sj.predict_tiled(fn, x, plan)
    assert plan.certificate.fingerprint == (other := sj.certify(fn, x)).fingerprint
    assert function_provenance(fn, plan.certificate) != function_provenance(fn, other)


def test_what_wraps_around_is_one_tile() -> None:
    x = image(1, 40, 1)
    plan = sj.plan_tiles(wrapped, x.shape, tile=8, pad=None, dtype=jnp.int32)
    assert (plan.grid, plan.tile_input) == ((1,), (40,))
    assert equal(sj.predict_tiled(wrapped, x, plan), wrapped(x))


@cache
def _unet(ndim: int) -> Any:
    net = sj.UNet(
        2, ndim=ndim, features=2, factors=(2,), convs=1, padding="SAME", activation=injective, param_dtype=jnp.int32
    )
    variables = jax.jit(net.init)(jax.random.key(0), jnp.zeros((1, *(8,) * ndim, 1), jnp.int32))
    return Partial(net.apply, variables)


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_a_same_padded_unet(ndim: int) -> None:
    fn, x = _unet(ndim), image(1, *(54, 30, 26)[:ndim], 1)
    plan = sj.plan_tiles(fn, x.shape, tile=(16, 8, 8)[:ndim], pad=None, dtype=jnp.int32)
    assert min(plan.grid) > 2
    assert plan.equals_whole
    assert equal(sj.predict_tiled(fn, x, plan), jax.jit(fn)(x))


def test_within_a_memory() -> None:
    """The tile is the cheapest that fits; the image in one piece, where that does."""
    fn, shape = _unet(2), (1, 64, 64, 1)
    small = sj.plan_tiles(fn, shape, memory_bytes="150KiB", pad=None, dtype=jnp.int32)
    large = sj.plan_tiles(fn, shape, memory_bytes="1GiB", pad=None, dtype=jnp.int32)
    assert large.grid == (1, 1)
    assert math.prod(small.grid) > 1
    assert small.memory is not None
    assert small.memory <= 150 * 2**10


SEEN: collections.Counter[str] = collections.Counter()


@settings(max_examples=max(8, examples() // 4), **QUIET)
@given(programs(), st.integers(0, 2**32 - 1))
def test_any_network(program: Program, seed: int) -> None:
    """Random programs, in 1-D to 3-D: where they have tiles that touch the border, these give the whole."""
    rng = np.random.default_rng(seed)
    fn = Partial(program.apply, parameters(rng, program.parameter_shapes()))
    try:
        cert = sj.certify(fn, jax.ShapeDtypeStruct(program.shape, jnp.int32))
        more = [axis.period * int(rng.integers(1, 1 + max(1, 24 // axis.period))) for axis in cert.axes]
        space = [n + by for n, by in zip(program.shape[1:-1], more, strict=True)]
        x = image(1, *space, program.shape[-1])
        plan = sj.plan_tiles(fn, x.shape, tile=1, pad=None, dtype=jnp.int32)
    except (sj.CertificationError, ValueError):
        return
    SEEN["planned"] += 1
    SEEN["tiles"] += math.prod(plan.grid) > 1
    assert plan.equals_whole or plan.certificate.approximations
    stitched = sj.predict_tiled(fn, x, plan)
    assert not plan.equals_whole or equal(stitched, jax.jit(fn)(x)), (program, plan.explain())


def test_some_networks_have_such_tiles() -> None:
    """The random test above is not empty: half of its few programs have tiles as a rule."""
    if not SEEN["planned"]:
        pytest.skip("the random programs were not drawn in this process")
    assert SEEN["tiles"] > 0


def strided(x: Any) -> Any:
    return {"half": conv(conv(x, stride=2)), "third": conv(x, "VALID", 3), "finer": jnp.repeat(conv(x), 2, axis=1)}


@pytest.mark.parametrize("size", [1, 17, 40])
def test_other_strides_over_a_padded_image(size: int) -> None:
    """As many pixels as the image has, over the stride, rounded up; as in one piece on the padded image."""
    x = image(1, size, 1)
    plan = sj.plan_tiles(strided, x.shape, tile=8, dtype=jnp.int32)
    assert [out.size for out in plan.outputs] == [(2 * size,), (-(-size // 2),), (-(-size // 3),)]
    assert plan.period == (6,)
    assert plan.equals_whole
    whole = strided(jnp.pad(x, plan.pad_width, mode="reflect"))
    crops = {out.name.strip("[']"): out.whole_crop for out in plan.outputs}
    assert equal(sj.predict_tiled(strided, x, plan), {name: whole[name][crops[name]] for name in whole})
    assert sj.TilePlan.from_json(plan.to_json()) == plan
