"""Plans for networks that take few sizes, large ones, or mistakes; and a function that changed since."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.tree_util import Partial

import shiftjax as sj
from shiftjax.certifier import CertificationError
from shiftjax.tiling._planning.cheapest import candidates, within_bytes


def _conv(x, kernel, **options):
    space = "HW"[: x.ndim - 2]
    layout = (f"N{space}C", f"{space}IO", f"N{space}C")
    return lax.conv_general_dilated(x, kernel, (1,) * (x.ndim - 2), "VALID", dimension_numbers=layout, **options)


def _pooled(x, factor):
    window = (1, *(factor,) * (x.ndim - 2), 1)
    return lax.reduce_window(x, np.iinfo(np.int32).min, lax.max, window, window, "VALID")


def _repeated(x, factor):
    for axis in range(1, x.ndim - 1):
        x = jnp.repeat(x, factor, axis=axis)
    return x


KERNEL = np.arange(9, dtype=np.int32).reshape(3, 3, 1, 1) - 4


def _asserting(x):
    """Same-padded, and fussy about its size."""
    assert x.shape[1] % 16 == 0, "not a multiple of 16"
    return _repeated(_pooled(x, 16), 16) + x


def _fussy(x):
    if x.shape[1] % 4 or x.shape[2] % 4:
        raise ValueError("not a multiple of 4")
    return _repeated(_pooled(x, 4), 4)


def _far(x):
    """A receptive field of 161 px."""
    return _conv(x, KERNEL, rhs_dilation=(80, 80))


def _same_padded(x):
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    return _repeated(_pooled(_conv(padded, KERNEL), 2), 2)


def _subsampled(x):
    return _repeated(x[:, ::2, ::2], 2)


def _image(*space):
    return np.random.default_rng(0).integers(-99, 99, (1, *space, 1), dtype=np.int32)


@pytest.mark.parametrize("fn", [_asserting, _fussy, _far, _same_padded, _subsampled], ids=lambda f: f.__name__)
@pytest.mark.parametrize("choice", [{}, {"tile": 8}, {"tile": (10, 17)}, {"memory_bytes": "16MiB"}], ids=str)
def test_any_choice_gives_a_plan_that_keeps_its_promise(fn, choice):
    image = _image(50, 45)
    plan = sj.plan_tiles(fn, image.shape, dtype=jnp.int32, **choice)
    assert plan.legal
    assert plan.equals_whole, plan.why
    assert min(np.ravel(plan.pad_width)) >= 0
    whole = fn(jnp.pad(image, plan.pad_width, mode=plan.pad or "edge"))[plan.whole_crop]
    assert np.array_equal(sj.predict_tiled(fn, image, plan), whole)


def test_the_wish_decides_the_output_and_not_what_is_read():
    """Wishes that round down to one tile cost the same."""
    net = sj.UNet(2, features=1, factors=(2,), convs=1, crop=None, param_dtype=jnp.int32)
    fn = Partial(
        net.apply, jax.eval_shape(net.init, jax.random.key(0), jax.ShapeDtypeStruct((1, 20, 20, 1), jnp.int32))
    )
    plans = [sj.plan_tiles(fn, (1, 100, 100, 1), tile=tile, dtype=jnp.int32) for tile in (8, 9)]
    assert plans[0].tile_output == plans[1].tile_output == (8, 8)
    assert plans[0].tile_input == plans[1].tile_input


def test_a_function_without_halo_is_not_cut_into_pixels():
    plan = sj.plan_tiles(lambda x: 2 * x, (1, 500, 400, 1))
    assert plan.grid == (1, 1)


@pytest.mark.parametrize("choice", [{"tile": 8}, {"tile": 8, "pad": None}, {"tile": 8, "stream": 0}], ids=str)
def test_no_size_is_certified_twice(choice, monkeypatch):
    asked = []

    def counted(fn, x, **options):
        asked.append((x.shape, *options.items()))
        return sj.certify(fn, x, **options)

    monkeypatch.setattr("shiftjax.tiling._planning.problem.certify", counted)
    sj.plan_tiles(_same_padded, (1, 50, 46, 1), dtype=jnp.int32, **choice)
    assert len(set(asked)) == len(asked) > 1


def test_abstract_parameters_are_enough():
    fn = Partial(lambda kernel, x: _conv(x, kernel), jax.ShapeDtypeStruct((3, 3, 1, 1), jnp.int32))
    assert sj.plan_tiles(fn, (1, 40, 40, 1), tile=8, dtype=jnp.int32).tile_input == (10, 10)


def test_leaves_that_cannot_be_hashed():
    fn = Partial(lambda part, x: _conv(x, KERNEL)[:, part], slice(1, None))
    plan = sj.plan_tiles(fn, (1, 20, 20, 1), tile=8, dtype=jnp.int32)
    stitched = sj.predict_tiled(fn, _image(20, 20), plan)
    assert np.array_equal(stitched, fn(jnp.pad(_image(20, 20), plan.pad_width, mode="reflect"))[plan.whole_crop])


class _Weighted:
    weight = 2

    def __call__(self, x):
        return self.weight * x


def test_a_function_that_changed_is_refused_and_then_planned_anew():
    fn, image = _Weighted(), _image(20, 20)
    plan = sj.plan_tiles(fn, image.shape, tile=8, dtype=jnp.int32)
    assert np.array_equal(sj.predict_tiled(fn, image, plan), 2 * image)
    fn.weight = 3
    with pytest.raises(ValueError, match="one that computes something else; make a plan for this function"):
        sj.predict_tiled(fn, image, plan)
    plan = sj.plan_tiles(fn, image.shape, tile=8, dtype=jnp.int32)
    assert np.array_equal(sj.predict_tiled(fn, image, plan), 3 * image)


def test_a_function_of_the_same_shapes_is_refused():
    plan = sj.plan_tiles(lambda x: x, (1, 20, 20, 1), tile=8, dtype=jnp.int32)
    with pytest.raises(ValueError, match="without a certificate"):
        sj.predict_tiled(lambda x: x - x.sum(), _image(20, 20), plan)
    with pytest.raises(ValueError, match="computes something else"):
        sj.predict_tiled(lambda x: _repeated(_pooled(x, 2), 2), _image(20, 20), plan)


def test_a_function_with_random_numbers_of_its_own_is_itself():
    def fn(x):
        return x * jax.random.randint(jax.random.key(0), (), 1, 99)

    plan = sj.plan_tiles(fn, (1, 20, 20, 1), tile=8, dtype=jnp.int32)
    assert np.array_equal(sj.predict_tiled(fn, _image(20, 20), plan), fn(_image(20, 20)))


def test_the_image_is_taken_in_the_planned_type():
    plan = sj.plan_tiles(lambda x: 300 * x, (1, 20, 20, 1), tile=8)
    stitched = sj.predict_tiled(lambda x: 300 * x, np.full((1, 20, 20, 1), 300, np.uint16), plan)
    assert stitched.dtype == plan.outputs[0].dtype == "float32"
    assert (stitched == 90000).all()
    narrow = sj.plan_tiles(lambda x: x, (1, 20, 20, 1), tile=8, dtype=jnp.int32)
    with pytest.raises(ValueError, match="`image`: expected values that the planned int32 holds, found int64"):
        sj.predict_tiled(lambda x: x, np.zeros((1, 20, 20, 1), np.int64), narrow)


@pytest.mark.parametrize(
    ("planned", "image", "fits"),
    [("float16", np.uint16(65530), 65503), ("float16", np.float32(-1e6), -65504), ("float32", 1e300, 3e38)],
)
def test_a_number_beyond_the_planned_type_is_refused(planned, image, fits):
    """It would be infinite, and all that sees it."""
    plan = sj.plan_tiles(lambda x: x, (1, 20, 20, 1), tile=8, dtype=planned)
    whole = np.zeros((1, 20, 20, 1), np.asarray(image).dtype)
    whole[0, 3, 4, 0] = image
    with pytest.raises(ValueError, match=f"expected values that the planned {planned} holds, found "):
        sj.predict_tiled(lambda x: x, whole, plan)
    whole[0, 3, 4, 0] = fits  # control: the next one that it holds, rounded
    stitched = sj.predict_tiled(lambda x: x, whole, plan)
    assert np.array_equal(stitched, whole.astype(planned))
    assert np.isfinite(stitched).all()


def test_what_cannot_be_tiled_is_refused_with_the_reason_at_a_size_that_shows_it():
    with pytest.raises(CertificationError, match="mirror image") as refused:
        sj.plan_tiles(lambda x: x + x[:, ::-1], (1, 50, 50, 1))
    assert "256" in str(refused.value)


def test_a_search_that_starts_with_a_bad_guess_recovers():
    """The smallest tile says little about large ones: the first guesses take several times the bound."""
    tiles = candidates((8192, 8192), (1, 1), (16, 16))
    estimate = lambda size: int(np.prod(size)) * (10 if min(size) < 40 else 1000)  # noqa: E731
    tile = within_bytes(tiles, estimate, 0, 2**26)
    assert min(tile) > 100


def test_calls_share_the_tiles_evenly():
    plan = sj.plan_tiles(lambda x: _conv(x, KERNEL.astype(np.float32)), (1, 600, 600, 1), tile=100)
    calls = -(-36 // plan.batch_size)
    assert plan.grid == (6, 6)
    assert plan.redundancy == calls * plan.batch_size * 102**2 / 600**2
    assert calls * plan.batch_size - 36 < calls


def test_one_tile_for_all_has_one_phase():
    plan = sj.plan_tiles(_fussy, (1, 10, 10, 1), tile=10, dtype=jnp.int32, illegal_tile=True)
    assert plan.in_phase
    assert not plan.legal
    assert plan.equals_whole
    assert "share one phase" in plan.explain()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tile": True}, "`tile`: expected an integer >= 1"),
        ({"image_shape": np.zeros((1, 9, 9, 1))}, r"found an array of shape \(1, 9, 9, 1\); give its shape"),
        ({"spatial_axes": 1}, "spatial_axes"),
        ({"illegal_tile": True}, "`tile`: expected a size to keep as wished"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises((ValueError, TypeError), match=message):
        sj.plan_tiles(_fussy, **{"image_shape": (1, 20, 20, 1), **arguments})


def test_sizes_may_be_arrays():
    plan = sj.plan_tiles(_fussy, np.array([1, 20, 20, 1]), tile=np.array([8, 4]), dtype=jnp.int32)
    assert plan.tile_output == (8, 4)


def test_an_image_that_is_none():
    plan = sj.plan_tiles(_fussy, (1, 20, 20, 1), tile=8, dtype=jnp.int32)
    with pytest.raises((ValueError, TypeError), match="image"):
        sj.predict_tiled(_fussy, None, plan)  # type: ignore[arg-type]


def test_memory_in_words_is_memory_in_bytes():
    """As the command line takes it; nonsense is refused in a sentence."""
    fn = lambda x: x[:, 1:-1, 1:-1] * 2  # noqa: E731
    plans = [sj.plan_tiles(fn, (1, 90, 90, 1), memory_bytes=limit) for limit in (2**20, "1MiB", "1024k", "1048576")]
    assert len({plan.to_json() for plan in plans}) == 1
    for wrong in ("2GiBs", "", "-1M", "lots"):
        with pytest.raises(ValueError, match="2GiB"):
            sj.plan_tiles(fn, (1, 90, 90, 1), memory_bytes=wrong)
