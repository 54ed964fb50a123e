"""Large resizing matrices as bands: the same proofs as of whole matrices, in memory that grows with their length."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shiftjax.certifier import Certificate, CertificationError, _bands, certify
from shiftjax.certifier import _constants as constants
from shiftjax.certifier._domain import pattern
from shiftjax.certifier._domain.constants import Known

RATIOS = [(2, 1), (1, 2), (4, 1), (3, 2), (3, 1), (5, 4)]


def proof(up: int, down: int, size: int, method: str = "linear") -> Certificate:
    fn = lambda x: jax.image.resize(x, (1, size * up // down, 1), method)  # noqa: E731
    return certify(fn, jax.ShapeDtypeStruct((1, size, 1), jnp.float32))


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> list[_bands.Band]:
    """Matrices count as large from a size on at which whole ones are cheap; the bands that are found."""
    monkeypatch.setattr(_bands, "LARGE", 1000)
    found: list[_bands.Band] = []

    def watched(matrix: Known, evaluate: Any) -> _bands.Band | None:
        band = _bands.band(matrix, evaluate)
        if band is not None:
            found.append(band)
            dense, error = matrix.value, np.broadcast_to(matrix.rounding.error, matrix.shape)  # errors of zeros too
            for column, (start, values, errors) in enumerate(zip(band.start, band.values, band.error, strict=True)):
                rows = slice(start, start + len(values))
                assert not np.delete(dense[:, column], np.r_[rows]).any()
                far = np.abs(dense[rows, column] - values) > error[rows, column] + errors
                assert not far.any()
        return band

    monkeypatch.setattr(constants, "band", watched)
    return found


@pytest.mark.parametrize(("up", "down"), RATIOS)
def test_a_band_holds_all_that_is_not_zero(up: int, down: int, small: list[_bands.Band]) -> None:
    """Every other element of the matrix is exactly zero, and the proof says the same as of the whole matrix."""
    size = 240
    banded = proof(up, down, size)
    assert small
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_bands, "LARGE", 1 << 60)
        whole = proof(up, down, size)
    assert banded.axes == whole.axes
    assert bool(banded.approximations) == bool(whole.approximations)
    if not whole.approximations:
        assert banded.same_map(whole)


def test_control_a_band_with_a_gap_is_noticed(small: list[_bands.Band], monkeypatch: pytest.MonkeyPatch) -> None:
    """Were blocks taken for zero that are not, the comparison above would fail."""
    true = _bands._interval

    def gap(known: Known, block: int, done: Any) -> Any:
        bounds = true(known, block, done)
        if bounds is not None and bounds[0].shape[0] > 1:
            for bound in bounds:
                bound[bounds[0].shape[0] // 2 :] = 0
        return bounds

    monkeypatch.setattr(_bands, "_interval", gap)
    with pytest.raises(CertificationError, match="AssertionError"):
        proof(5, 4, 240)


def test_large_matrices_are_never_written_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither they nor anything of their size that they are computed from."""
    true = constants._compute
    written: list[int] = []

    def compute(eqn: Any, operands: Any) -> Any:
        written.append(int(np.prod(eqn.shape)))
        return true(eqn, operands)

    monkeypatch.setattr(constants, "_compute", compute)
    cert = proof(2, 1, 2048)
    assert max(written) <= 4096
    assert cert.axes[0].exact == (1, 4095)
    assert cert.same_map(proof(2, 1, 64))
    monkeypatch.setattr(_bands, "LARGE", 1 << 60)
    written.clear()
    assert proof(2, 1, 2048).same_map(cert)  # control: the whole matrix is counted
    assert max(written) == 2048 * 4096


def resized(height: int, width: int) -> Certificate:
    fn = lambda x: jax.image.resize(x, (1, 2 * height, 2 * width, 1), "linear")  # noqa: E731
    return certify(fn, jax.ShapeDtypeStruct((1, height, width, 1), jnp.float32))


def test_bands_along_different_axes_commute() -> None:
    """JAX resizes that axis first which is cheaper: the map is the same for tall images and for wide ones."""
    assert resized(32, 64).same_map(resized(64, 32))


def test_bands_along_one_axis_do_not() -> None:
    """Control: two matrices along one axis are another map in another order."""
    rng = np.random.default_rng(0)
    first, second = (
        sum(w * np.eye(40, k=k, dtype=np.int32) for k, w in enumerate(rng.integers(1, 9, 3))) for _ in "ab"
    )
    second[:, ::2] *= 2

    def product(*matrices: Any) -> Certificate:
        def fn(x: Any) -> Any:
            for matrix in matrices:
                x = jnp.einsum("bnc,nm->bmc", x, matrix)
            return x

        return certify(fn, jax.ShapeDtypeStruct((1, 40, 1), jnp.int32))

    assert product(first, second).same_map(product(first, second))
    assert not product(first, second).same_map(product(second, first))


@pytest.mark.parametrize("size", [40, 200, 2000, 12000])
@pytest.mark.parametrize(("up", "down"), [(3, 2), (3, 1), (5, 2)])
def test_linear_resizing_depends_on_the_ratio_alone(up: int, down: int, size: int) -> None:
    """Rounded weights are certified at every size, up to a bound that is disclosed."""
    cert = proof(up, down, size)
    assert (cert.axes[0].phases * down, len(cert.approximations)) == (cert.axes[0].period * up, 1)


def drifting(slope: float) -> Callable[[Any], Any]:
    """A matrix whose weights move down by almost one row per column, and are all near those of the next column."""
    rows, columns = np.indices((600, 600))
    matrix = np.maximum(0, 1 - np.abs(rows - slope * columns)).astype(np.float32)
    matrix *= 1 + np.float32(1e-6) * np.random.default_rng(0).normal(size=matrix.shape).astype(np.float32)
    return lambda x: jnp.einsum("bnc,nm->bmc", x, matrix)


def test_turns_that_drift_are_not_taken_for_a_repetition() -> None:
    """Each turn is near the next one; hundreds of turns later another pixel is read."""
    x = jax.ShapeDtypeStruct((1, 600, 1), jnp.float32)
    assert certify(drifting(1.0), x).axes[0].stride == 1
    with pytest.raises(CertificationError, match="does not move along"):
        certify(drifting(1 + 3e-6), x)
    for up, down, size in ((2002, 2000, 2000), (511, 512, 512), (1023, 1024, 1024), (698, 700, 700)):
        with pytest.raises(CertificationError, match="does not move along"):
            proof(up, down, size)


def test_control_without_a_look_at_the_whole_run_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pattern, "_without_drift", lambda bands, found, error: found)
    assert proof(511, 512, 512).axes[0].stride == 1
