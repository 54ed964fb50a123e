"""What cannot be frozen is refused in one sentence, with the line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

import shiftjax as sj
from proofs_tests.freezing.norms import with_weights
from shiftjax.freezing import _freeze

IMAGE = np.random.default_rng(0).normal(size=(1, 16, 12, 2)).astype(np.float32)
HERE = Path(__file__).name


def centred(x: Any) -> Any:
    return x - x.mean((1, 2), keepdims=True)


def by_rows(x: Any) -> Any:
    return x - x.mean(1, keepdims=True)


def attention(x: Any) -> Any:
    weights = jnp.einsum("bhwc,bijc->bhwij", x, x)
    return jnp.einsum("bhwij,bijc->bhwc", weights, x)


def gram(x: Any) -> Any:
    return jnp.einsum("bhwc,bcd->bhwd", x, jnp.einsum("bhwc,bhwd->bcd", x, x))


def after_a_sort(x: Any) -> Any:
    return x - jnp.sort(x, 1).max((1, 2), keepdims=True)


def percentile(x: Any) -> Any:
    return x - jnp.percentile(x, 50, axis=(1, 2), keepdims=True)


def product(x: Any) -> Any:
    return x * x.prod((1, 2), keepdims=True)


def brightest(x: Any) -> Any:
    return x + jnp.argmax(x.reshape(1, -1, 2), 1)[:, None, None]


def only_a_mean(x: Any) -> Any:
    return x.mean((1, 2))


def with_a_mean(x: Any) -> Any:
    return centred(x), x.mean((1, 2))


def looped(x: Any) -> Any:
    return jax.lax.scan(lambda y, _: (centred(y), None), x, None, length=2)[0]


REFUSED = {
    "loop": (looped, "reduce_sum", "in a loop or a branch.*write the loop out"),
    "some axes": (by_rows, "reduce_sum", "reduces over an image axis.*Reduce over all of them"),
    "attention": (attention, "dot_general", "attention"),
    "a product of two images": (gram, "dot_general", "sums over an image axis"),
    "after a sort": (after_a_sort, "sort", "sorts along an image axis"),
    "percentile": (percentile, "sort", "sorts"),
    "product": (product, "reduce_prod", "reduces over an image axis"),
    "argmax": (brightest, "argmax", "reduces over an image axis"),
    "not spread": (only_a_mean, "output", "statistic of the whole image that is not spread over it again"),
    "one of two": (with_a_mean, r"output \[1\]", "is not spread over it again"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_such_statistic(name):
    fn, operation, reason = REFUSED[name]
    with pytest.raises(sj.CertificationError, match=rf"`{operation}` at .*{HERE}:\d+: .*{reason}"):
        sj.freeze_statistics(fn, IMAGE, progress=False)


def test_the_line_of_the_statistic_that_is_returned():
    def fn(x: Any) -> Any:
        brightest = x.max((1, 2))
        return brightest, centred(x)

    line = fn.__code__.co_firstlineno + 1
    with pytest.raises(sj.CertificationError, match=rf"`output \[0\]` at .*{HERE}:{line}: .*not spread over it again"):
        sj.freeze_statistics(fn, IMAGE, progress=False)


@pytest.mark.parametrize("others", [0, 1])
def test_the_line_of_a_statistic_whose_operand_has_no_proof(others):
    def fn(x: Any) -> Any:
        x = x - others * x.min((1, 2), keepdims=True) if others else x
        return x - x[:, ::-1].max((1, 2), keepdims=True)

    line = fn.__code__.co_firstlineno + 2
    with pytest.raises(
        sj.CertificationError, match=rf"`statistic` at .*{HERE}:{line}: .* the output is a mirror image"
    ):
        sj.freeze_statistics(fn, IMAGE, progress=False)


def test_an_image_too_large_for_one_tile_is_measured_with_a_memory():
    """To pad is no way out, since the padded image is measured in the same way."""

    def wrapped(x: Any) -> Any:
        y = jnp.pad(x, ((0, 0), (1, 1), (0, 0)), mode="wrap")
        y = y[:, :-2] + y[:, 2:]
        return y - y.max(1, keepdims=True)

    line = np.zeros((1, 2**20 + 8, 1), np.int32)
    line[0, 0] = 5
    choices: tuple[dict[str, Any], ...] = {}, {"pad": "reflect", "tile": 2**10}
    for options in choices:
        with pytest.raises(ValueError, match="`memory_bytes`: expected as much as the image takes in one piece"):
            sj.freeze_statistics(wrapped, line, progress=False, **options)
    frozen = sj.freeze_statistics(wrapped, line, progress=False, memory_bytes="2GiB")
    assert frozen.values[0].item() == 5


def test_an_image_that_jax_traces():
    with pytest.raises(ValueError, match=r"an array with values, found one that JAX is tracing; call this outside"):
        jax.jit(lambda x: sj.freeze_statistics(centred, x, progress=False)(x))(IMAGE)
    frozen = sj.freeze_statistics(centred, IMAGE, progress=False)
    np.testing.assert_allclose(jax.jit(frozen)(IMAGE), centred(IMAGE), atol=1e-6)


def test_a_norm_in_training_mode():
    norm = nn.BatchNorm(use_running_average=False)
    variables = norm.init(jax.random.key(0), IMAGE)

    def fn(x: Any) -> Any:
        return norm.apply(variables, x, mutable=["batch_stats"])

    with pytest.raises(sj.CertificationError, match=r"batch_stats.*not spread over it again.*in inference mode"):
        sj.freeze_statistics(fn, IMAGE, progress=False)
    two = np.concatenate([IMAGE, IMAGE])
    with pytest.raises(sj.CertificationError, match=r"reduces over the image, and over the images of a batch"):
        sj.freeze_statistics(lambda x: fn(x)[0], two, progress=False)


def test_certify_and_plan_name_the_way_out():
    for ask in (sj.certify, lambda fn, x: sj.plan_tiles(fn, x.shape, pad=None)):
        with pytest.raises(sj.CertificationError, match=rf"{HERE}:\d+.*shiftjax.freeze_statistics\(fn, image\)"):
            ask(centred, IMAGE)


def test_pixels_that_are_nan_are_named():
    image = IMAGE.copy()
    image[0, 13, 2, 0] = np.nan
    with pytest.raises(ValueError, match=r"1 that are NaN or infinite in pixels \[8:16, 0:8\]"):
        sj.freeze_statistics(lambda x: x[:, ::8, ::4] - x.max((1, 2), keepdims=True), image, tile=8, progress=False)


def test_an_image_without_variance():
    fn = with_weights(nn.InstanceNorm(), IMAGE.shape)
    with pytest.raises(ValueError, match="zero variance in image 0 of the batch where"):
        sj.freeze_statistics(fn, np.ones_like(IMAGE), progress=False)


def test_what_is_derived_must_be_finite():
    image = IMAGE.copy()
    image[..., 1] = 0
    with pytest.raises(ValueError, match=rf"NaN or infinity derived from those at .*{HERE}"):
        sj.freeze_statistics(lambda x: x * (1 / jnp.abs(x).max((1, 2), keepdims=True)), image, progress=False)


def test_statistics_are_the_same_ones_at_every_size():
    """A window that happens to be as large as the image is no statistic of another image."""

    def fn(x: Any) -> Any:
        return x * nn.avg_pool(x, (16, 12)).sum((1, 2), keepdims=True)

    frozen = sj.freeze_statistics(fn, IMAGE, progress=False)
    np.testing.assert_allclose(frozen(IMAGE), fn(IMAGE), atol=1e-6)
    with pytest.raises(ValueError, match="takes the same statistics at every size"):
        frozen(np.ones((1, 20, 20, 2), np.float32))


def test_other_images():
    """Of any size, with the numbers of the one that was measured; of its type and channels."""
    frozen = sj.freeze_statistics(centred, IMAGE, progress=False)
    other = np.ones((2, 40, 5, 2), np.float32)
    np.testing.assert_allclose(frozen(other), other - IMAGE.mean((1, 2), keepdims=True), atol=1e-6)
    for wrong in (other.astype(np.int32), other[..., :1], other[0]):
        with pytest.raises(ValueError, match=r"as the image that was measured|the form of the image"):
            frozen(wrong)
    both = sj.freeze_statistics(centred, np.concatenate([IMAGE, IMAGE]), progress=False)
    with pytest.raises(ValueError, match="the form of the image"):
        both(IMAGE)


def test_bad_arguments():
    plan = sj.plan_tiles(lambda x: x, (1, 8, 8, 2), tile=4, pad=None)
    for wrong, message in (
        ({"plan": plan}, r"a plan for float32 of shape \(1, 16, 12, 2\)"),
        ({"region": (slice(0, 4),)}, "2 slices"),
        ({"region": (slice(0, 4), slice(5, 5))}, "not empty"),
        ({"axes": "yx"}, "nothing beside an array"),
        ({"pad": "wrap"}, "pad"),
        ({"journal": "/"}, "the path of a file"),
        ({"journal": __file__}, "`journal`: expected statistics of format 1"),
    ):
        with pytest.raises(ValueError, match=message):
            sj.freeze_statistics(centred, IMAGE, progress=False, **wrong)


def test_files_that_cannot_be_written(tmp_path, monkeypatch):
    """A journal is tried before the first pass."""
    frozen = sj.freeze_statistics(centred, IMAGE, progress=False, journal=tmp_path / "journal.npz")  # the control
    monkeypatch.setattr(_freeze, "measure", None)
    (tmp_path / "s.npz.part").mkdir()
    with pytest.raises(ValueError, match=r"`path`: expected a file that can be written, found .*IsADirectoryError"):
        frozen.save(tmp_path / "s.npz")
    with pytest.raises(ValueError, match=r"`journal`: expected a file that can be written"):
        sj.freeze_statistics(centred, IMAGE, progress=False, journal=tmp_path / "s.npz")


def test_damaged_files(tmp_path):
    frozen = sj.freeze_statistics(centred, IMAGE, progress=False)
    frozen.save(tmp_path / "s.npz")
    (tmp_path / "torn.npz").write_bytes((tmp_path / "s.npz").read_bytes()[:200])
    for path in (tmp_path / "none.npz", tmp_path / "torn.npz", Path(__file__)):
        with pytest.raises(ValueError, match="statistics of format 1, as `save` writes them"):
            sj.load_statistics(centred, path)
    with pytest.raises(ValueError, match="found another one, or other parameters"):
        sj.load_statistics(Partial(lambda x: 2 * centred(x)), tmp_path / "s.npz")
