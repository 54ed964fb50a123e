"""Percentiles are those of all pixels, exactly; what they scale is neither cut nor rounded to steps."""

from __future__ import annotations

from fractions import Fraction

import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st

from shiftjax.volume import VolumeError, normalize, open_source
from shiftjax.volume._percentiles import percentiles
from shiftjax.volume._sources import parts as cutting

TYPES = (
    "bool",
    "uint8",
    "int8",
    "uint16",
    "int32",
    "uint32",
    "int64",
    "uint64",
    "float16",
    "bfloat16",
    "float32",
    "float64",
)


def exact(values, wanted):
    """By sorting, in fractions: as NumPy defines it, without its rounding."""
    ordered = sorted(Fraction(int(v) if values.dtype.kind in "iub" else float(v)) for v in values)
    found = []
    for q in wanted:
        place = Fraction(q) / 100 * (len(ordered) - 1)
        below, above = ordered[int(place)], ordered[min(int(place) + 1, len(ordered) - 1)]
        found.append(below + (place - int(place)) * (above - below))
    return found


@given(st.sampled_from(TYPES), st.integers(1, 300), st.integers(0, 2**32), st.floats(0, 100), st.booleans())
def test_they_are_exact(kind, count, seed, q, few):
    """Against sorting, for every type; with many equal values, and over the whole range of the type."""
    dtype = np.dtype(ml_dtypes.bfloat16 if kind == "bfloat16" else kind)
    rng = np.random.default_rng(seed)
    if dtype.kind in "iu":
        low, high = (0, 4) if few else (np.iinfo(dtype).min, int(np.iinfo(dtype).max))
        values = rng.integers(low, high, (count, 2), dtype=dtype, endpoint=True)
    else:
        values = (
            rng.integers(0, 3, (count, 2)) if few else rng.normal(size=(count, 2)) * 10.0 ** rng.integers(-3, 4)
        ).astype(dtype)
    half = count // 2  # in two parts, as a volume comes
    found = percentiles(lambda: iter([values[:half], values[half:]][: 1 + (half < count)]), dtype, (q, 100 - q, 0, 100))
    assert found == [exact(channel, (q, 100 - q, 0, 100)) for channel in values.T]


def test_control_a_sample_misses_what_is_rare():
    volume = np.zeros((64, 256, 256), np.uint16)
    volume[10:12, 5:25, 5:25] = 900
    drawn = [volume[slices] for _, slices in open_source(volume, axes="zyx").sampled_blocks(64, 32)]
    assert np.percentile(np.concatenate([block.ravel() for block in drawn]), 100) == 0
    assert normalize(volume, low=0, high=100).keywords["high"][0] == 900


def test_parts_cover_the_volume_once(monkeypatch):
    monkeypatch.setattr(cutting, "PART", 300)
    for order, shape in (("zyx", (7, 9, 11)), ("tcyx", (3, 2, 9, 11)), ("yxc", (9, 11, 3))):
        source = open_source(np.zeros(shape, np.uint8), axes=order)
        counts = np.zeros(source.space, int)
        for slices in cutting.parts(source):
            counts[slices] += 1
        assert (counts == 1).all()
        values = np.random.default_rng(0).integers(0, 99, shape).astype(np.uint8)
        found = normalize(values, low=0, high=100, axes=order)
        axis = order.find("c")
        wanted = values.max(tuple(k for k in range(len(shape)) if k != axis))
        np.testing.assert_array_equal(found.keywords["high"], np.atleast_1d(wanted))


@pytest.mark.parametrize("dtype", ["uint32", "int32"])
def test_integers_of_any_size(dtype):
    """Far from 0, where float32 has steps of 256: they are subtracted before they are rounded."""
    first = 2**31 if dtype == "uint32" else -(2**31)
    values = (np.random.default_rng(0).integers(0, 100, (32, 32)) + first).astype(dtype)
    scaled = normalize(values, low=0, high=100)
    image = np.asarray(scaled(jnp.asarray(values[None, ..., None])))[0, ..., 0]
    np.testing.assert_allclose(image, (values.astype(float) - first) / 99, atol=1e-6)
    naive = (values.astype(np.float32) - np.float32(first)) / 99  # the control
    assert np.abs(naive - image).max() > 0.1
    whole = np.array([[np.iinfo(dtype).min, -1 if dtype == "int32" else 5, np.iinfo(dtype).max]], dtype)
    ends = np.asarray(normalize(whole, low=0, high=100)(jnp.asarray(whole[None, ..., None])))[0, 0, :, 0]
    assert (ends[0], ends[-1]) == (0, 1)


@pytest.mark.parametrize(
    ("values", "say"),
    [
        (np.full((9, 9), 7, np.uint8), "both percentiles of channel 0 at 7; all its pixels are alike"),
        (np.eye(600, dtype=np.uint16) * 900, "from 0 to 900: choose others, such as low=0 and high=100"),
        (np.array([[2**40, 5], [0, 1]]), f"int32 holds, as JAX computes, found 0 to {2**40}"),
        (1e9 + np.random.default_rng(0).random((9, 9)), "that float32 tells apart"),
        (np.array([[1e300, 0], [1, 2]]), "that float32 tells apart"),
        (np.ones((9, 9), complex), "real numbers"),
        (np.full((9, 9), np.nan), "finite intensities"),
    ],
)
def test_what_scaling_cannot_mean_is_refused(values, say):
    with pytest.raises(ValueError, match=say):
        normalize(values)


def test_one_channel_of_several():
    """An empty channel beside the one that is used does no harm."""
    values = np.stack([np.arange(100).reshape(10, 10), np.zeros((10, 10), int)]).astype(np.uint16)
    with pytest.raises(ValueError, match=r"channel 1.*`channel=`"):
        normalize(values, axes="cyx")
    assert normalize(values, axes="cyx", channel=0).keywords["high"].shape == (1,)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])  # one pass over the volume, and two
def test_missing_chunks_are_counted(dtype, tmp_path, capfd):
    zarr.create_array(tmp_path / "a", data=np.arange(1, 17, dtype=dtype).reshape(4, 4), chunks=(2, 2))
    right = normalize(tmp_path / "a", low=0, high=100).keywords
    assert (right["low"], right["high"]) == (1, 16)
    (tmp_path / "a" / "c" / "0" / "1").unlink()
    assert "has not" not in capfd.readouterr().err
    assert normalize(tmp_path / "a", low=0, high=100).keywords["low"] == 0
    assert "shiftjax: 1 chunks that" in capfd.readouterr().err
    with pytest.raises(VolumeError, match="chunk c/0/1 of the source is missing"):
        normalize(open_source(tmp_path / "a", missing="error"))
