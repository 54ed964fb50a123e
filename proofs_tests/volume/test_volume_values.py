"""Numbers that do not fit, NaN, and masks and arguments that may mean several things: right, or refused."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st

import shiftjax as sj
from proofs_tests.volume.small import expected, net, plan, times_three, volume
from shiftjax.volume import VolumeError, new_target, normalize, open_source, predict_volume
from shiftjax.volume._jobs.job import Job
from shiftjax.volume._jobs.pointwise import check_preprocess
from shiftjax.volume._jobs.tile_selection import in_mask, in_region
from shiftjax.volume._jobs.tiles import VolumeTiles
from shiftjax.volume._storage import casting
from shiftjax.volume._targets.provenance import differences

QUIET: Any = {"progress": False}
SHAPE = (20, 17)
IMAGE = np.random.default_rng(2).normal(size=SHAPE).astype(np.float32)


def smear(image):
    return image[:, 1:-1] + image[:, 2:]


def smeared(image, pad="reflect"):
    """What `smear` gives, by NumPy."""
    padded = np.pad(image, ((1, 1), (0, 0)), mode=pad)
    return padded[1:-1] + padded[2:]


def planned(fn=smear, dtype="float32", shape=SHAPE, **options):
    return sj.plan_tiles(fn, (1, *shape, 1), tile=8, dtype=jnp.dtype(dtype), **options)


@pytest.mark.parametrize("pad", ["reflect", "constant"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_either_byte_order(pad, order, tmp_path):
    stored = volume().astype(f"{order}u2")
    fn = net()
    made = predict_volume(fn, stored, tmp_path / "o", plan(fn, pad=pad), preprocess=times_three, **QUIET)
    np.testing.assert_array_equal(made[:], expected(volume().astype(np.int32) * 3 - 7, pad=pad))


@given(st.integers(1, 70), st.integers(1, 30), st.integers(1, 30), st.booleans(), st.data())
def test_no_tile_is_left_out_that_a_mask_means(n, f, tile, up, data):
    """A mask by any factor, with a pixel for what is left over at the end or without."""
    size = -(-n // f) if up else max(1, n // f)
    pixel = data.draw(st.integers(0, min(n, size * f) - 1))
    mask = np.zeros(size, bool)
    mask[pixel // f] = True
    tiles = sj.plan_tiles(lambda x: x, (1, n, 1), tile=min(tile, n))
    holds = in_mask(tiles, open_source(mask, axes="x"))
    (meant,) = [place for place in tiles.tiles() if pixel in range(n)[tiles.output_slices(place)[0]]]
    assert holds(meant)


@pytest.mark.parametrize("lost", [0, 12])
def test_a_tile_is_chosen_by_the_pixels_below_its_outputs(lost):
    """Also where the function loses the border and nothing is padded: output pixel 0 lies over pixel 6 then."""

    def sums(x):
        return jax.lax.reduce_window(x, 0.0, jax.lax.add, (1, 1 + lost, 1), (1, 1, 1), "VALID")

    tiles = sj.plan_tiles(sums, (1, 64, 1), tile=8, pad=None)
    assert tiles.grid == (-(-(64 - lost) // 8),)
    for pixel in range(64):
        holds = in_mask(tiles, open_source(np.arange(64) == pixel, axes="x"))
        meets = in_region(tiles, (slice(pixel, pixel + 1),))
        index = min(max(pixel - lost // 2, 0), 63 - lost)  # of the output over it, or of the nearest
        assert holds((index // 8,))
        assert meets((index // 8,))
        assert sum(map(holds, tiles.tiles())) <= 1 + (lost > 0)  # the control: not every tile


def test_control_a_rounded_factor_leaves_one_out():
    """60 pixels by 16 are 4, and so are 60 by 15: the object in the last tile is lost by the wrong one."""
    mask, rounded = np.array([0, 0, 1, 0]), round(60 / 4)
    assert not mask[45 // rounded : 60 // rounded].any()
    assert mask[45 // 16]
    tiles = sj.plan_tiles(lambda x: x, (1, 60, 1), tile=15)
    holds = in_mask(tiles, open_source(mask, axes="x"))
    assert [holds(place) for place in tiles.tiles()][3]
    assert not in_mask(tiles, open_source(np.array([0, 0, 0, 0]), axes="x"))((3,))


@pytest.mark.parametrize(("n", "f"), [(1000, 32), (100, 16), (50, 8), (10, 4), (512, 8), (777, 8)])
def test_masks_of_any_factor_are_taken(n, f):
    tiles = sj.plan_tiles(lambda x: x, (1, n, 1), tile=10)
    for size in (-(-n // f), n // f):
        assert in_mask(tiles, open_source(np.ones(size, bool), axes="x"))((0,))
    with pytest.raises(ValueError, match="integer fraction"):
        in_mask(tiles, open_source(np.ones(n - 1, bool), axes="x"))


@pytest.mark.parametrize(
    ("found", "wanted", "fits"),
    [
        ("uint16", "int16", False),
        ("uint16", "uint8", False),
        ("int64", "int32", False),
        ("uint16", "float16", False),
        ("float64", "float16", False),
        ("float32", "int32", False),
        ("complex64", "float32", False),
        ("uint16", "int32", True),
        ("bool", "uint8", True),
        ("int64", "float32", True),
        ("float64", "float32", True),
        ("float32", "bfloat16", True),
        ("bfloat16", "float32", True),
    ],
)
def test_which_types_fit(found, wanted, fits):
    assert casting.holds(jnp.dtype(wanted), jnp.dtype(found)) == fits
    if np.dtype(jnp.dtype(found)).kind in "ui":  # by the numbers themselves
        most = np.array([np.iinfo(found).max, np.iinfo(found).min]).astype(found)
        with np.errstate(over="ignore"):
            back = most.astype(jnp.dtype(wanted)).astype(np.float64)
        assert np.allclose(back, most.astype(np.float64), rtol=1e-2) == fits


def test_sources_that_do_not_fit_are_refused(tmp_path):
    tiles = planned(dtype="int16")
    with pytest.raises(ValueError, match=r"int16 holds.*`preprocess`"):
        predict_volume(smear, np.full(SHAPE, 40000, np.uint16), tmp_path / "o", tiles, **QUIET)
    halved = predict_volume(
        smear,
        np.full(SHAPE, 40000, np.uint16),
        tmp_path / "o",
        tiles,
        preprocess=lambda x: (x // 2).astype(jnp.int16),
        **QUIET,
    )
    assert (halved[:] == np.array(40000, np.int32).astype(np.int16)).all()  # the network's own sum wraps
    with pytest.raises(VolumeError, match=r"tile .*float32 does not hold 1e\+300"):
        predict_volume(smear, np.full(SHAPE, 1e300), tmp_path / "p", planned(), **QUIET)


def test_integers_that_jax_cuts_are_refused(tmp_path):
    image = np.full(SHAPE, 5, np.int64)
    narrow: Any = {"preprocess": lambda x: x.astype(jnp.float32), **QUIET}
    np.testing.assert_array_equal(predict_volume(smear, image, tmp_path / "o", planned(), **narrow)[:], 10)
    image[3, 3] = 2**40
    with pytest.raises(VolumeError, match=f"int32 does not hold {2**40}"):
        predict_volume(smear, image, tmp_path / "p", planned(), **narrow)


@pytest.mark.parametrize("dtype", ["uint8", "int32", "bool", "uint64"])
def test_targets_that_cut_are_refused(dtype, tmp_path):
    with pytest.raises(ValueError, match=r"`dtype`.*float32"):
        predict_volume(smear, IMAGE, new_target(tmp_path / "o", dtype=dtype), planned(), **QUIET)
    fn = net()
    if dtype in ("uint8", "uint64"):
        with pytest.raises(ValueError, match=r"`dtype`.*int32"):
            predict_volume(fn, volume(), new_target(tmp_path / "o", dtype=dtype), plan(fn), **QUIET)
    assert not (tmp_path / "o").exists()


def test_a_narrow_float_target_rounds_but_does_not_overflow(tmp_path):
    made = predict_volume(smear, IMAGE, new_target(tmp_path / "o", dtype="float16"), planned(), **QUIET)
    np.testing.assert_array_equal(made[0], smeared(IMAGE).astype(np.float16))
    large = IMAGE.copy()
    large[9, 9] = 1e6
    with pytest.raises(VolumeError, match=r"tile \(1, 1\).*float16 does not hold 1000"):
        predict_volume(smear, large, new_target(tmp_path / "p", dtype="float16"), planned(), batch_size=1, **QUIET)


def test_pixels_that_are_not_finite(tmp_path):
    for bad in (np.nan, np.inf):
        image = IMAGE.copy()
        image[12, 3] = bad
        say = r"tile \(1, 0\), pixels y 7 to 17, x 0 to 8: NaN or infinity in 1 of 80 values"
        with pytest.raises(VolumeError, match=say):
            predict_volume(smear, image, tmp_path / str(bad), planned(), batch_size=1, **QUIET)
        clean = jax.tree_util.Partial(jnp.nan_to_num, nan=0.0, posinf=0.0)
        made = predict_volume(smear, image, tmp_path / f"{bad}0", planned(), preprocess=clean, **QUIET)
        np.testing.assert_array_equal(made[0], smeared(np.where(np.isfinite(image), image, 0)))


def test_scaling_leaves_out_what_is_not_finite():
    image = IMAGE.copy()
    image[3, 3], image[4, 4] = np.nan, np.inf
    found, finite = normalize(image), image[np.isfinite(image)]
    np.testing.assert_allclose(
        [found.keywords["low"][0], found.keywords["high"][0]], np.percentile(finite, [1, 99.8]), rtol=1e-5
    )
    with pytest.raises(ValueError, match="finite intensities"):
        normalize(np.full(SHAPE, np.nan))
    assert normalize(IMAGE > 0).keywords["high"][0] == 1


def test_preprocessing_sees_the_type_that_is_stored(tmp_path):
    stored = np.random.default_rng(0).integers(0, 2**16, SHAPE).astype(np.uint16)
    shift: Any = {"preprocess": lambda x: (x >> 4).astype(jnp.float32), **QUIET}
    for pad in ("reflect", "constant"):
        made = predict_volume(smear, stored, tmp_path / pad, planned(pad=pad), **shift)
        np.testing.assert_array_equal(made[0], smeared((stored >> 4).astype(np.float32), pad))

    def by_type(image):
        return image.astype(jnp.float32) / (2.0 if image.dtype == jnp.uint16 else 1.0)

    def provenance(preprocess):
        proved = check_preprocess(preprocess, planned(), stored.dtype)
        return Job(smear, VolumeTiles(planned(), open_source(stored)), proved).provenance()

    assert differences(provenance(by_type), provenance(lambda x: x.astype(jnp.float32) / 1.0)) == ["preprocess"]


@pytest.mark.parametrize(
    ("options", "say"),
    [
        ({"region": 5}, "`region`"),
        ({"region": slice(0, 9)}, "`region`"),
        ({"region": (slice(0.0, 9.0), slice(None))}, "`region`"),
        ({"where": lambda tile: tile > 0}, r"`where`.*any\(\)"),
        ({"where": np.ones((2, *SHAPE))}, "`where`: expected a mask with the spatial axes 'yx'"),
        ({"resume": "no"}, "`resume`"),
        ({"target": 5}, "`target`"),
        ({"target": ""}, "`target`"),
        ({"plan": None}, "`plan`"),
    ],
)
def test_arguments_of_another_kind_are_refused(options, say, tmp_path):
    given: Any = {"fn": smear, "source": IMAGE, "target": tmp_path / "o", "plan": planned(), **QUIET}
    unchecked = getattr(predict_volume, "__wrapped__", predict_volume)  # as users call it: without the tests' types
    with pytest.raises(ValueError, match=say) as refusal:
        unchecked(**{**given, **options})
    assert "\n" not in str(refusal.value)
    assert predict_volume(**given)[:].any()


def test_lost_chunks_are_computed_again(tmp_path):
    image = IMAGE.copy()
    image[:10, :10] = 0  # a tile of zeros is a chunk like any other
    made = predict_volume(smear, image, tmp_path / "o", planned(), **QUIET)
    chunks = sorted(path for path in (tmp_path / "o" / "0" / "c").rglob("*") if path.is_file())
    assert len(chunks) == len(list(planned().tiles()))
    before, times = {path: path.read_bytes() for path in chunks}, {path: path.stat().st_mtime_ns for path in chunks}
    chunks[0].unlink()
    chunks[5].unlink()
    assert (zarr.open_array(tmp_path / "o" / "0")[0] != smeared(image)).any()
    made = predict_volume(smear, image, tmp_path / "o", planned(), **QUIET)
    np.testing.assert_array_equal(made[0], smeared(image))
    assert {path: path.read_bytes() for path in chunks} == before
    assert {path for path in chunks if path.stat().st_mtime_ns != times[path]} == {chunks[0], chunks[5]}
