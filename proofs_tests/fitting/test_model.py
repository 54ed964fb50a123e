"""A model finds what it has learnt, whatever the tiles, and comes back from its folder as it was."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import zarr

import shiftjax as sj
from proofs_tests.fitting.small import IMAGE, NET, discs, fit, untrained
from shiftjax.fitting import _saving
from shiftjax.volume import VolumeError


@pytest.fixture(scope="module")
def model():
    return fit()


@pytest.fixture(scope="module")
def larger():
    return discs((70, 101), seed=3)


def test_it_finds_objects_that_it_has_not_seen(model, larger):
    image, labels = larger
    found = model.segment(image)
    assert sj.average_precision(labels[None], found[None]) > 0.6
    assert model.score > 0.6
    untrained = replace(model, variables=NET.init(jax.random.key(5), jnp.zeros((1, *model.window, 1))))
    assert sj.average_precision(labels[None], untrained.segment(image)[None]) < 0.4


def test_training_may_begin_with_a_model(model, larger):
    image, labels = larger
    options = {"steps": 1, "rate": 1e-9, "validation": False}
    gone_on = replace(fit(start=model, net=None, **options), settings=model.settings)
    assert sj.average_precision(labels[None], gone_on.segment(image)[None]) > 0.6
    anew = replace(fit(**options), settings=model.settings)  # the control
    assert sj.average_precision(labels[None], anew.segment(image)[None]) < 0.4
    with pytest.raises(ValueError, match="`net`: expected none beside `start`"):
        fit(start=model)
    with pytest.raises(ValueError, match="`start`: expected a model of images with 3 spatial axes and 1 channels"):
        fit(*discs((12, 24, 24)), start=model, net=None)


@pytest.mark.deep
def test_training_begins_with_the_model_for_nuclei_where_it_suits(capsys):
    image, labels = discs((128, 128), radius=12, pitch=32)
    options: dict[str, Any] = {"net": None, "steps": 1, "rate": 1e-9, "window": 16, "validation": False}
    ready = sj.pretrained("nuclei")

    def is_ready(model):
        pairs = zip(*(jax.tree.leaves(each.variables) for each in (model, ready)), strict=True)
        return model.net == ready.net and all(np.allclose(mine, its, atol=1e-6) for mine, its in pairs)

    assert is_ready(fit(image, labels, **options, progress=True))
    assert "begun with the model for nuclei" in capsys.readouterr().err
    anew = fit(image, labels, **options, start=False)  # the control
    assert anew.net == ready.net
    assert not is_ready(anew)


def test_labels_do_not_depend_on_tiles(model, larger):
    image, _ = larger
    by_default = model.segment(image)
    assert by_default.max() > 20
    for tile in (16, (32, 20)):
        assert np.array_equal(model.segment(image, tile=tile), by_default)


def test_control_tiles_that_are_cut_without_their_surroundings_change_labels(model, larger):
    image, _ = larger
    parts = [model.segment(image[:, k : k + 30]) for k in range(0, 90, 30)]
    cut = np.concatenate([part + 1000 * k * (part > 0) for k, part in enumerate(parts)], axis=1)
    assert sj.split_merge_counts(model.segment(image)[None, :, :90], cut[None]).splits > 0 or cut.max() == 0


def test_intensities_of_another_exposure_make_no_difference(model, larger):
    image, _ = larger
    counts = np.round(image * 16).astype(np.uint16)
    assert np.array_equal(model.segment(counts), model.segment(1000.0 + 3 * counts))


def test_window_and_certificate(model):
    assert model.certificate.period == NET.period == (2, 2)
    plan = model.plan((50, 60))
    assert plan.equals_whole
    embedding = model.embed(IMAGE)
    assert embedding.shape == (*IMAGE.shape, 3)


def test_saved_and_loaded(model, larger, tmp_path):
    image, _ = larger
    model.save(tmp_path / "m")
    loaded = sj.load_model(tmp_path / "m")
    assert loaded == replace(model, variables=loaded.variables)
    assert jax.tree.all(jax.tree.map(lambda a, b: bool((a == b).all()), loaded.variables, model.variables))
    assert np.array_equal(loaded.segment(image), model.segment(image))
    assert sorted(path.suffix for path in (tmp_path / "m").iterdir()) == [".json", ".npz"]
    model.save(tmp_path / "m", half=True)  # in place of the other
    rounded = sj.load_model(tmp_path / "m")
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(rounded.variables))
    assert len(list((tmp_path / "m").iterdir())) == 2


def spoil(folder, **changes):
    page = folder / "model.json"
    page.write_text(json.dumps({**json.loads(page.read_text()), **changes}))


def forge(folder, **changes):
    """Changes a page together with its digest."""
    spoil(folder, **changes)
    page = json.loads((folder / "model.json").read_text())
    spoil(folder, page_digest=_saving._page_digest(page))


@pytest.mark.parametrize(
    ("change", "say"),
    [
        (lambda folder: spoil(folder, format=99), "a model of format 1, which this version reads, found format 99"),
        (lambda folder: spoil(folder, score=0.5), "model.json as it was written"),
        (lambda folder: (folder / "model.json").write_text("{"), "a model that `save` wrote"),
        (lambda folder: next(folder.glob("*.npz")).write_bytes(b"x"), "none that can be read"),
        (lambda folder: next(folder.glob("*.npz")).unlink(), "none that can be read"),
        (lambda folder: next(folder.glob("*.npz")).write_bytes(b""), "none that can be read"),
        (lambda folder: forge(folder, settings=None), "model.json with the entries that `save` writes, found others"),
        (lambda folder: forge(folder, net={"activation": "unknown"}), "with the entries that `save` writes, found"),
        (lambda folder: forge(folder, weights="../m/weights.npz"), "weights beside the page, found a path"),
    ],
)
def test_what_has_changed_is_refused(model, tmp_path, change, say):
    model.save(tmp_path / "m")
    change(tmp_path / "m")
    with pytest.raises(ValueError, match=say):
        sj.load_model(tmp_path / "m")


def test_other_weights_are_refused(model, tmp_path):
    model.save(tmp_path / "m")
    name = next((tmp_path / "m").glob("*.npz"))
    with np.load(name) as file:
        weights = dict(file)
    first = min(weights)
    np.savez(name, **{**weights, first: weights[first] + 1})
    with pytest.raises(ValueError, match="weights as they were written"):
        sj.load_model(tmp_path / "m")


def test_a_folder_of_something_else_is_left_alone(model, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ValueError, match="a new folder, or one with a model"):
        model.save(tmp_path)
    with pytest.raises(ValueError, match="a folder, found the file"):
        model.save(tmp_path / "mine.txt")


class OwnNet(nn.Module):
    """Another network."""

    @nn.compact
    def __call__(self, x):
        x = nn.relu(nn.Conv(4, (3, 3), padding="VALID")(x))
        return nn.Conv(3, (3, 3), padding="VALID")(x)


def test_another_network_is_brought_to_load_its_model(tmp_path):
    net = OwnNet()
    model = untrained(net, (12, 12))
    assert np.isnan(model.score)
    model.save(tmp_path / "m")
    with pytest.raises(ValueError, match=r"`net`: expected the network, which .* does not describe"):
        sj.load_model(tmp_path / "m")
    loaded = sj.load_model(tmp_path / "m", net=net)
    assert np.array_equal(loaded.segment(IMAGE), model.segment(IMAGE))
    with pytest.raises(ValueError, match="the network that the weights are of"):
        sj.load_model(tmp_path / "m", net=NET)


def test_an_activation_without_a_name_cannot_be_written_down(model, tmp_path):
    odd = replace(model, net=sj.UNet(4, features=6, factors=(2,), convs=1, activation=lambda x: x))
    with pytest.raises(ValueError, match="an activation among relu"):
        odd.save(tmp_path / "m")


@pytest.mark.parametrize(
    ("image", "say"),
    [
        (np.zeros((4, 4, 4)), r"2 spatial axes, with or without a last one of 1 channels"),
        (np.full((40, 40), np.nan), "finite values"),
        (np.ones((40, 40)), "intensities that differ"),
        (np.zeros((0, 4)), "2 spatial axes"),
        (np.array("a"), "an array of numbers"),
    ],
)
def test_images_that_do_not_fit(model, image, say):
    with pytest.raises(ValueError, match=say):
        model.segment(image)


def test_a_volume_is_labelled_from_storage_to_storage(model, larger, tmp_path):
    image, _ = larger
    zarr.create_array(tmp_path / "in.zarr", data=image)
    found = model.segment_volume(tmp_path / "in.zarr", tmp_path / "out.zarr", tile=32, progress=False)
    kept = model.segment_volume(
        tmp_path / "in.zarr", tmp_path / "other.zarr", embedding=tmp_path / "embedding.zarr", tile=32, progress=False
    )
    labels = np.asarray(found.labels[...])
    assert np.array_equal(labels, kept.labels[...])
    assert sj.average_precision(model.segment(image)[None], labels[None].astype(np.int32)) > 0.95
    with pytest.raises(ValueError, match="2 spatial axes and 1 channels"):
        model.segment_volume(np.stack([image] * 4, -1), tmp_path / "x.zarr", axes="yxc")


def test_missing_chunks_are_refused_whether_the_embedding_is_kept_or_not(tmp_path):
    stored = zarr.create_array(tmp_path / "in.zarr", data=IMAGE, chunks=(32, 32))
    (tmp_path / "in.zarr" / "c" / "1" / "1").unlink()
    assert not np.asarray(stored[32:, 32:64]).any()
    for number, kept in enumerate((None, tmp_path / "embedding.zarr")):
        options: Any = {"axes": "yx", "embedding": kept, "progress": False, "tile": 32}
        with pytest.raises(VolumeError, match="chunk c/1/1 of the source is missing"):
            untrained().segment_volume(tmp_path / "in.zarr", tmp_path / f"{number}", missing="error", **options)
    control = untrained().segment_volume(tmp_path / "in.zarr", tmp_path / "filled", **options)
    assert control.labels.shape == IMAGE.shape


@pytest.mark.deep
def test_another_network_is_trained():
    model = fit(net=OwnNet(), steps=2, validation=False)
    assert np.isnan(model.score)
    assert model.certificate.period == (1, 1)


@pytest.mark.deep
def test_three_dimensions_and_two_channels():
    image, labels = discs((24, 36, 60), radius=4)
    net = sj.UNet(4, ndim=3, features=4, factors=(2,), convs=1)
    model = fit(np.stack([image, 255 - image], -1), labels, net=net, window=12, steps=40)
    assert model.score > 0.5
    both = np.stack([image, 255 - image], -1)
    assert np.array_equal(model.segment(both), model.segment(both, tile=8))


@pytest.mark.deep
def test_what_is_left_out_is_chosen_well():
    image, labels = discs((96, 160), radius=6, pitch=16)
    model = sj.fit(image, labels, steps=120, progress=False)
    assert model.score > 0.8


def test_weights_of_half_precision_come_back_as_they_were(tmp_path):
    net = sj.UNet(4, features=6, factors=(2,), convs=1, param_dtype=jnp.bfloat16)
    model = untrained(net)
    for half in (False, True):
        model.save(tmp_path / "m", half=half)
        loaded = sj.load_model(tmp_path / "m")
        pairs = zip(*(jax.tree.leaves(each.variables) for each in (model, loaded)), strict=True)
        assert all(a.dtype == b.dtype == jnp.bfloat16 and bool((a == b).all()) for a, b in pairs)
    assert np.array_equal(loaded.segment(IMAGE), model.segment(IMAGE))
