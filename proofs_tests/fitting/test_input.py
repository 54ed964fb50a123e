"""Images and labels as users have them; what does not fit is answered in one sentence."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tifffile
import zarr

import shiftjax as sj
from proofs_tests.fitting.small import IMAGE, LABELS, NET, discs, fit
from shiftjax.fitting._data.pairs import check_instances, pairs_of, survey
from shiftjax.fitting._data.pictures import blocks
from shiftjax.fitting._fit import _digest


def files(folder, arrays, name="{}.tif"):
    folder.mkdir()
    for k, array in enumerate(arrays):
        tifffile.imwrite(folder / name.format(k), array)
    return folder


def read(pair):
    image, labels = (x.read(x.everything) for x in (pair.image, pair.labels))
    return image[0, ..., 0], labels[0, ..., 0]


def test_all_forms_are_the_same_pixels(tmp_path):
    pairs = [discs((30, 40), seed=k) for k in range(11)]  # more than ten, so that 10 comes after 9
    images, labels = zip(*pairs, strict=True)
    small = [label.astype(np.uint8) for label in labels]
    forms = {
        "lists": (list(images), list(labels)),
        "folders": (files(tmp_path / "i", images), str(files(tmp_path / "l", small, "mask_{}.tif"))),
        "files": (
            [tmp_path / "i" / f"{k}.tif" for k in range(11)],
            [tmp_path / "l" / f"mask_{k}.tif" for k in range(11)],
        ),
    }
    zarr.create_array(tmp_path / "i.zarr", data=np.stack(images))
    zarr.create_array(tmp_path / "l.zarr", data=np.stack(labels))
    planes = [sj.volume.open_source(tmp_path / f"{name}.zarr", planes=True) for name in "il"]
    for name, form in {**forms, "planes": planes}.items():
        for pair, (image, label) in zip(pairs_of(*form), pairs, strict=True):
            for found, expected in zip(read(pair), (image, label), strict=True):
                assert np.array_equal(found, expected), name


def test_channels_come_last_and_only_in_images():
    (pair,) = pairs_of(np.stack([IMAGE] * 3, -1), LABELS)
    assert (pair.space, pair.image.channels) == (IMAGE.shape, 3)
    (volume,) = pairs_of(np.zeros((4, 5, 6)), np.zeros((4, 5, 6), int))
    assert (volume.space, volume.image.channels) == ((4, 5, 6), 1)


def test_what_labels_show():
    (pair,) = pairs_of(IMAGE, LABELS)
    found = survey(pair)
    assert found.labels == found.regions == len(found.areas) == LABELS.max()
    assert np.array_equal(np.sort(found.areas), np.sort(np.bincount(LABELS.ravel())[1:]))
    assert set(found.extents.ravel()) <= {6, 7, 8}
    occupied = {tuple(at // 32 * 32) for at in np.argwhere(LABELS)}
    assert {tuple(cell) for cell in found.cells} == occupied


EMPTY, MASK = np.zeros_like(LABELS), (LABELS > 0).astype(np.uint8) * 255
NAN = np.where(LABELS == 3, np.nan, IMAGE)
FIRST = np.where(LABELS == 1, 1, 0)
BAD = {
    "count": ([IMAGE, IMAGE], [LABELS], r"`labels`: expected 2, one for each image, found 1"),
    "size": (IMAGE, LABELS[:-1], r"`labels`: expected the shape \(64, 96\) of images, found \(63, 96\) in labels"),
    "channels of labels": (IMAGE, np.stack([LABELS] * 2, -1), r"`labels`: expected the shape"),
    "axes": ([IMAGE, np.zeros((4, 4, 4))], [LABELS, np.ones((4, 4, 4), int)], r"`images`: expected 2 spatial axes"),
    "mixed channels": (
        [np.stack([IMAGE] * 2, -1), np.stack([IMAGE] * 3, -1)],
        [LABELS, LABELS],
        r"`images`: expected 2 channels, as images\[0\] has, found 3 in images\[1\]",
    ),
    "mask": (IMAGE, MASK, r"a number for each object, found one number in 40 separate regions, as in a mask"),
    "booleans": (IMAGE, MASK > 0, r"found booleans, as in a mask, in labels; number its regions with"),
    "classes": (IMAGE, LABELS % 3, r"found 2 numbers in \d+ separate regions, as in a mask"),
    "one": (IMAGE, FIRST, r"`labels`: expected at least two objects, found one in labels"),
    "no objects": (IMAGE, EMPTY, r"`labels`: expected objects, with numbers above 0, found background only"),
    "negative": (IMAGE, LABELS - 1, r"`labels`: expected integers >= 0, 0 = background, found -1"),
    "no pixels": (IMAGE[:0], LABELS[:0], r"found shape \(0, 96\)"),
    "no images": ([], [], r"`images`: expected at least one image, found an empty list"),
    "NaN": (NAN, LABELS, r"`images`: expected finite intensities, found \d+ that are NaN or infinite in images"),
    "constant": (np.ones_like(IMAGE), LABELS, r"expected intensities that differ"),
    "complex": (IMAGE + 1j, LABELS, r"`images`: expected real numbers, found complex"),
    "smaller than a window": (IMAGE[:3, :3], 1 + np.eye(3, dtype=int), r"two periods of the network"),
    "too small to hold out": (IMAGE[:32, :32], LABELS[:32, :32], r"`validation`: expected images to hold out"),
    "text": ("nowhere", "nowhere", r"`images`: expected a folder of TIFF files .* found nothing at 'nowhere'"),
    "long text": ("x" * 5000, LABELS, r"`images`: expected a folder of TIFF files .* found nothing at 'x{300}'"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_images_and_labels(name):
    images, labels, say = BAD[name]
    with pytest.raises(ValueError, match=say) as error:
        fit(images, labels)
    assert "\n" not in str(error.value)


def test_control_what_is_good_gets_past_all_checks(monkeypatch):
    class ReachedError(Exception):
        pass

    def run(*args, **options):
        raise ReachedError

    monkeypatch.setattr("shiftjax.fitting._training.run.run", run)
    with pytest.raises(ReachedError):
        fit(IMAGE, LABELS)


def test_labels_that_are_not_integers():
    with pytest.raises(TypeError, match="`labels`: expected integers, 0 = background, found float64"):
        fit(IMAGE, LABELS.astype(float))


def test_folders_hold_images_or_are_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    for path, found in (("empty", "a folder without any of these"), ("nowhere", "nothing at")):
        with pytest.raises(ValueError, match=f"`images`: expected a folder of TIFF files .* found {found}"):
            fit(tmp_path / path, LABELS)


@pytest.mark.parametrize(
    ("image", "label", "fits"),
    [
        (("a", "b"), ("a", "b"), True),
        (("cell_a", "cell_b"), ("cell_a_mask", "cell_b_mask"), True),
        (("t9", "t10"), ("mask_t09", "mask_t10"), True),
        (("a", "b"), ("b", "c"), False),
        (("x", "y"), ("p", "q"), False),
        (("cell_1", "cell_2"), ("cell_2", "cell_3"), False),
        (("only",), ("other",), True),
    ],
)
def test_names_of_files_tell_which_belong_together(tmp_path, image, label, fits):
    for folder, names in (("i", image), ("l", label)):
        (tmp_path / folder).mkdir()
        for name in names:
            tifffile.imwrite(tmp_path / folder / f"{name}.tif", LABELS.astype(np.uint16))
    if fits:
        assert len(pairs_of(tmp_path / "i", tmp_path / "l")) == len(image)
        return
    with pytest.raises(ValueError, match=rf"`labels`: expected those of {image[0]}.tif in its place, found {label[0]}"):
        pairs_of(tmp_path / "i", tmp_path / "l")


def test_a_run_says_what_it_takes_the_images_for(monkeypatch, capsys):
    monkeypatch.setattr("shiftjax.fitting._training.run.run", lambda *args, **options: None)
    fit(progress=True)
    assert (
        "1 image of y, x, 40 objects of about 8 x 8 px, a part of it held out; windows of " in capsys.readouterr().err
    )
    fit([IMAGE, IMAGE], [LABELS, LABELS], progress=True)
    assert "2 images of y, x, 80 objects of about 8 x 8 px, 1 held out; windows of " in capsys.readouterr().err
    fit()  # quiet
    assert capsys.readouterr().err == ""


def test_labels_in_another_order_than_their_images(tmp_path):
    images = files(tmp_path / "i", [IMAGE, IMAGE], "a{}.tif")
    labels = files(tmp_path / "l", [LABELS, LABELS], "b{}.tif")
    (labels / "b1.tif").rename(labels / "b7.tif")
    with pytest.raises(ValueError, match=r"`labels`: expected those of a1.tif in its place, found b7.tif"):
        fit(images, labels)


@pytest.mark.parametrize(
    ("options", "say"),
    [
        ({"validation": 2}, "`validation`: expected a finite number > 0 and <= 0.9, found 2"),
        ({"validation": True}, "`validation`: expected a share"),
        ({"validation": "all"}, "`validation`: expected a share"),
        ({"validation": (IMAGE, LABELS[:-1])}, "`validation`: `labels`: expected the shape"),
        ({"validation": (np.ones_like(IMAGE), LABELS)}, "`validation`: `images`: expected intensities that differ"),
        ({"validation": (IMAGE[..., None][:, :, [0, 0]], LABELS)}, "1 channels, as those to train on, found 2 and 2"),
        ({"net": "UNet"}, "`net`: expected a Linen module"),
        ({"net": sj.UNet(1, features=2, factors=())}, "2 channels or more, found"),
        ({"net": sj.UNet(3, ndim=3, features=2, factors=())}, "of 2 axes and 2 channels or more, found"),
        ({"net": sj.UNet(3, features=2, factors=(64,))}, "at least .* two periods of the network, found"),
        ({"steps": 0}, "`steps`: expected an integer >= 1"),
        ({"window": 0}, "`window`"),
    ],
)
def test_bad_options(options, say):
    with pytest.raises(ValueError, match=say):
        fit(**options)


@pytest.mark.parametrize(
    ("net", "window"), [(NET, 2), (NET, 10**6), (sj.UNet(3, features=2, factors=(4,), convs=1), 5)]
)
def test_windows_hold_two_periods_and_fit_into_the_image(net, window, monkeypatch):
    seen = []
    monkeypatch.setattr("shiftjax.fitting._training.run.run", lambda plan, *args, **options: seen.append(plan.window))
    fit(net=net, window=window, validation=False)
    (found,) = seen
    for size, period, image in zip(found.output, found.period, IMAGE.shape, strict=True):
        assert size % period == 0
        assert 2 * period <= size <= image
    assert sj.theory.sees_every_neighbour(found.output, found.period)


def test_files_in_lists_are_named_as_one_likes_but_not_shuffled(tmp_path):
    images = files(tmp_path / "i", [IMAGE, IMAGE, IMAGE], "scan_{}.tif")
    labels = files(tmp_path / "l", [LABELS, LABELS, LABELS], "mask_{}.tif")
    a, b = ([folder / f"{name}_{k}.tif" for k in range(3)] for folder, name in ((images, "scan"), (labels, "mask")))
    with pytest.raises(ValueError, match=r"those of scan_0.tif in its place, found mask_2.tif; sort both lists alike"):
        pairs_of(a, b[::-1])
    assert len(pairs_of(a, b)) == 3  # the control
    other = [path.rename(path.with_name(f"annotation_{k}7.tif")) for k, path in enumerate(b)]
    assert len(pairs_of(a, other)) == 3
    assert len(pairs_of(a[0], other[2])) == 1
    (labels / other[1].name).unlink()
    (labels / other[2].name).rename(labels / "annotation_2.tif")
    (labels / other[0].name).rename(labels / "annotation_0.tif")
    with pytest.raises(ValueError, match=r"expected 3, one for each image, found 2; no labels are for scan_1.tif"):
        pairs_of(images, labels)


def test_one_mask_among_labels_is_found():
    with pytest.raises(ValueError, match=r"found one number in 40 separate regions, as in a mask, in labels\[1\]"):
        fit([IMAGE] * 3, [LABELS, np.minimum(LABELS, 1), LABELS])
    strokes = np.where(LABELS > 37, 37, LABELS)  # the control: an object in a few parts is no mask
    pairs = pairs_of([IMAGE] * 2, [LABELS, strokes])
    check_instances(pairs, [survey(pair) for pair in pairs])


def test_objects_that_slabs_cut_are_counted_and_measured_once(monkeypatch):
    image = np.random.default_rng(0).normal(size=(40, 12, 12))
    labels = np.zeros(image.shape, int)
    labels[1:39, 2:5, 2:5], labels[1:39, 7:10, 2:5] = 7, 3
    (pair,) = pairs_of(image, labels)
    whole = survey(pair)
    monkeypatch.setattr("shiftjax.fitting._data.pairs.blocks", lambda labels: blocks(labels, size=4 * 12 * 12))
    cut = survey(pair)
    for one in (whole, cut):
        assert one.extents.tolist() == [[38, 3, 3]] * 2
        assert one.areas.tolist() == [38 * 9] * 2
    assert (whole.digest, whole.pieces, cut.pieces) == (cut.digest, 2, 20)
    check_instances([pair], [cut])
    (mask,) = pairs_of(image[:, :, :4].repeat(8, 2), (np.arange(32) % 4 < 2) * np.ones((*image.shape[:2], 1), int))
    with pytest.raises(ValueError, match="as in a mask"):  # the control
        check_instances([mask], [survey(mask)])


def test_any_other_pixel_is_another_run():
    def digest(image, labels):
        pairs = pairs_of(image, labels)
        return _digest(pairs, [survey(pair) for pair in pairs])

    spot = IMAGE.copy()
    spot[0, 0] += 1
    known = digest(IMAGE, LABELS)
    assert known == digest(IMAGE.copy(), LABELS.copy())
    assert known not in {digest(IMAGE, LABELS[::-1]), digest(spot, LABELS)}


def test_axes_and_a_channel_may_be_named():
    both = np.stack([IMAGE, -IMAGE])
    (first,) = pairs_of(both, LABELS, axes="cyx")
    assert (first.space, first.image.channels) == (IMAGE.shape, 2)
    (one,) = pairs_of(both, LABELS, axes="CYX", channel=1)
    assert np.array_equal(read(one)[0], -IMAGE)
    stack = pairs_of(both, np.stack([LABELS, LABELS]), axes="tyx")
    assert [pair.space for pair in stack] == [IMAGE.shape] * 2
    (volume,) = pairs_of(both, np.stack([LABELS, LABELS]))  # the control
    assert volume.space == both.shape
    bads: tuple[Any, ...] = (3, "", "yx", "tyy")
    for bad in bads:
        with pytest.raises(ValueError, match="`axes`: expected"):
            pairs_of(both, np.stack([LABELS, LABELS]), axes=bad)


def test_an_image_without_contrast_is_named(tmp_path):
    images = files(tmp_path / "i", [IMAGE, np.ones_like(IMAGE)])
    labels = files(tmp_path / "l", [LABELS.astype(np.uint16)] * 2)
    with pytest.raises(
        ValueError, match=r"`images`: expected intensities that differ, .* in 1.tif; .* leave this one"
    ) as e:
        fit(images, labels)
    assert "low=" not in str(e.value)  # which `fit` does not take


def test_objects_in_one_image_of_many_are_what_is_typical(monkeypatch):
    seen = []
    monkeypatch.setattr("shiftjax.fitting._training.run.run", lambda plan, *args, **options: seen.append(plan))
    fit([IMAGE] * 40, [LABELS, *[EMPTY] * 39], validation=False)
    fit([IMAGE], [LABELS], validation=False)  # the control
    one_of_many, alone = (np.array([plan.intensities.centre, plan.intensities.gain]) for plan in seen)
    assert np.allclose(one_of_many, alone)


def test_what_is_not_read_and_what_is_seen_twice_is_told(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("shiftjax.fitting._training.run.run", lambda *args, **options: None)
    with tifffile.TiffWriter(tmp_path / "two.tif") as file:
        for image in (IMAGE, IMAGE[:, :-8]):
            file.write(image)
    fit(tmp_path / "two.tif", LABELS, progress=True)
    told = capsys.readouterr().err
    assert "the first of the file's 2 images" in told
    assert "trained on as well" not in told
    fit([IMAGE, IMAGE], [LABELS, LABELS], progress=True)
    assert "images[1] is held out, and trained on as well" in capsys.readouterr().err
    fit(IMAGE, LABELS, validation=(IMAGE + 1, LABELS), progress=True)
    told = capsys.readouterr().err
    assert "1 other held out" in told
    assert "trained on as well" not in told


def test_a_network_that_cannot_be_written_down_is_refused_before_it_is_trained(tmp_path, monkeypatch):
    monkeypatch.setattr("shiftjax.fitting._training.run.run", lambda *args, **options: "trained")
    odd = sj.UNet(4, features=6, factors=(2,), convs=1, activation=lambda x: x)
    with pytest.raises(ValueError, match="an activation among relu"):
        fit(net=odd, out=tmp_path / "run")
    assert fit(net=odd) == "trained"  # the control


def test_images_given_as_labels_are_refused():
    """Of 16 bits, each pixel is a number of its own, which no rule for masks notices."""
    noise = np.random.default_rng(0).integers(0, 60000, (64, 64))
    objects = np.zeros((64, 64), np.int32)
    objects[4:20, 4:20], objects[30:40, 30:44] = 1, 2
    swapped, right = pairs_of([objects], [noise]), pairs_of([noise], [objects])
    with pytest.raises(ValueError, match=r"1.0 px on average.*images come first, labels second"):
        check_instances(swapped, [survey(pair) for pair in swapped])
    check_instances(right, [survey(pair) for pair in right])  # control


def test_channels_in_front_are_told_by_their_shape():
    labels = np.ones((20, 24), np.int32)
    with pytest.raises(ValueError, match='axes="cyx"'):
        pairs_of([np.ones((2, 20, 24))], [labels])
    with pytest.raises(ValueError, match="comes last"):  # control: of another size
        pairs_of([np.ones((2, 20, 23))], [labels])
    assert pairs_of([np.ones((2, 20, 24))], [labels], axes="cyx")[0].image.channels == 2


def test_what_offers_itself_as_an_array_is_an_image():
    class Picture:
        """As Pillow's: no shape, but NumPy understands it."""

        def __init__(self, pixels):
            self.pixels, self.__array_interface__ = pixels, pixels.__array_interface__

    pixels = np.arange(480, dtype=np.uint16).reshape(20, 24)
    (pair,) = pairs_of([Picture(pixels)], [Picture(pixels // 100)])
    assert np.array_equal(pair.image.read(pair.image.everything)[0, ..., 0], pixels)
    with pytest.raises(ValueError, match="an array, a path, or a list of them"):  # control
        pairs_of([object()], [pixels])
