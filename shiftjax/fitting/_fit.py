"""`fit`: from labelled images to a model."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import jax
import numpy as np

from shiftjax._checks import fail, integer, number, per_axis, shown, single_key, switch
from shiftjax._patience import say
from shiftjax._typing import PRNGKeyArray
from shiftjax.fitting._data.intensities import measured, percentiles, scaled
from shiftjax.fitting._data.pairs import Pair, Survey, check_instances, pairs_of, survey
from shiftjax.fitting._data.pictures import AXES
from shiftjax.fitting._data.sampling import Sampler, seed_of
from shiftjax.fitting._load import pretrained
from shiftjax.fitting._network import Window, check_network, default_network, shapes, window_for, window_wish
from shiftjax.fitting._saving import arrays_of, as_folder, described, digest_of
from shiftjax.fitting._training.validation import check_share, held_out, small_object, validation_of

if TYPE_CHECKING:
    from shiftjax.fitting._model import Model

LOOKS = 32  # windows in which is measured what is typical of the images
SPACING = 1.5  # distance of the control points of elastic changes, in objects
NOTES = 3  # on files that are told
PARTS = 1.1  # regions per label, from which on it is told


def fit(
    images: Any,
    labels: Any,
    *,
    axes: str | None = None,
    channel: int | None = None,
    net: Any = None,
    start: Model | Literal[False] | None = None,
    steps: int | None = None,
    minutes: int | float = 8,
    validation: Any = None,
    augment: bool = True,
    window: int | Sequence[int] | None = None,
    batch: int = 1,
    rate: int | float = 2e-3,
    key: PRNGKeyArray | None = None,
    out: str | Path | None = None,
    resume: bool = True,
    progress: bool = True,
) -> Model:
    """Trains a network on labelled images, and returns it with all that turns an image into labels.

    Windows are drawn from all images alike, where there are objects; they hold at least two periods of the network, so
    that it learns to have no seams. The network's first channel learns the foreground, with a gap between objects that
    touch, the others an embedding that differs between neighbours. From time to time the images held out are labelled
    and scored. The last weights are taken, unless earlier ones scored better by more than chance; a run whose scores
    only fall ends early. At the end, the foreground threshold, the bandwidth and the smallest size are chosen that
    score best there: on images that nothing has seen, expect a little less than that score. Ctrl-C ends the training
    early and keeps what there is.

    Args:
        images: of one kind, of any sizes: an array `(*space)` or `(*space, channel)`, the path of a TIFF file, of a
            folder of TIFF files, or of a volume of any format that `shiftjax.volume.open_source` reads, what it
            returns, or a list of these. Large volumes are read window by window.
        labels: likewise, `(*space)`, integers, 0 = background, a number of its own for each object.
        axes: of the images, where their metadata do not tell: a letter among t, c, z, y and x for each axis, such as
            "tyx" for a stack of images; labels have the same without c. By default an array is space, its last axis
            channels where it has one more than its labels.
        channel: the only one of the images that is used, from 0; by default all.
        net: a Linen module whose output has two channels or more and stride 1; by default a valid `UNet` whose
            receptive field holds a typical object; in 3-D one of two levels at most, which sees 20 px to each side.
        start: a model to begin with, or False for random weights. By default `shiftjax.pretrained("nuclei")` where no
            `net` is given and its network is the one that would be chosen: 2-D, one channel, objects of 21 to 44 px. On
            round bright objects it saves more than the first thousand steps.
        steps: of training; by default as many as fit into `minutes`, but at least 200 and at most 6000.
        minutes: how long the whole call may take. The number of steps is chosen by the speed at the beginning: on a
            machine that slows down later the call takes longer.
        validation: the share that is held out, `(images, labels)` to be used instead, or False for none. By default the
            last fifth of several images, or the last quarter of a single one along its longest axis. Of more than eight
            images some are scored, of large ones the middle.
        augment: whether windows are mirrored, turned, bent, magnified, made brighter, darker and noisier at random.
        window: wished output pixels of a training window, one integer or one per axis; rounded down to whole periods.
            By default four typical objects, between 96 and 192 px; in 3-D two, between 16 and 40 px.
        batch: windows per step.
        rate: the largest learning rate of Adam; it warms up over 50 steps, and falls to zero along a cosine.
        key: of all that is random; by default `jax.random.key(0)`.
        out: folder for checkpoints and the best model so far; needs the package orbax-checkpoint. After a crash the
            same call resumes, and its result is that of an undisturbed run, bit for bit.
        resume: whether to resume a run in `out`; otherwise it is begun anew.
        progress: whether to show a bar with the time left, and the scores.

    Returns:
        The model.

    Raises:
        ValueError: images and labels that do not match, labels that do not tell objects apart, images that are empty,
            hold NaN or infinity, or are smaller than a window or too few to hold any out, or options out of range.
        TypeError: labels that are not integers.
        CertificationError: a network that cannot be certified.
        shiftjax.training.TrainingDivergedError: the loss is no longer finite.
        ImportError: a package of the extras `train` or `volume` is missing.
    """
    key = jax.random.key(0) if key is None else key
    single_key(key)
    steps = None if steps is None else integer("steps", steps, least=1, most=10**7)
    minutes = number("minutes", minutes, above=0, most=10**6)
    batch, rate = integer("batch", batch, least=1, most=4096), number("rate", rate, above=0, most=1)
    for name, value in (("augment", augment), ("resume", resume), ("progress", progress)):
        switch(name, value)
    check_share(validation)
    if net is not None:
        check_network(net)
    given = start if start is not None and start is not False else None
    if given is not None:
        _check_start(given, net)
        net = given.net
    if out is not None:
        as_folder(out, "out")

    pairs = pairs_of(images, labels, axes=axes, channel=channel)
    surveys = [survey(pair) for pair in pairs]
    check_instances(pairs, surveys)
    others = None
    if isinstance(validation, tuple | list):
        with _of_validation():
            others = pairs_of(*validation, axes=axes, channel=channel)
            surveys_of_others = [survey(pair) for pair in others]
            check_instances(others, surveys_of_others)
        _check_alike(others[0], pairs[0])
    extent = np.median(np.concatenate([s.extents for s in surveys]), axis=0)
    smallest = tuple(map(min, zip(*(pair.space for pair in pairs), strict=True)))
    channels = pairs[0].image.channels
    if given is not None and (given.ndim, given.channels) != (len(smallest), channels):
        expected = f"a model of images with {len(smallest)} spatial axes and {channels} channels"
        fail("start", expected, f"one of {given.ndim} and {given.channels}")
    nuclei = None
    if net is None:
        net = default_network(extent, smallest)
        nuclei = None if start is False else _nuclei_like(net, channels)
    if out is not None:
        described(net)  # or it could not be saved at the end
    begun_with = nuclei if given is None else given
    variables = shapes(net, len(smallest), channels)
    wish = window_wish(extent) if window is None else per_axis("window", window, len(smallest))
    chosen = window_for(net, variables, channels, wish, smallest)

    low, high = percentiles(pairs)
    brought = [Pair(scaled(pair.image, low, high), pair.labels.numbered()) for pair in pairs]
    if others is None:
        train, test = held_out(brought, validation, chosen)
    else:
        with _of_validation():
            train, test = brought, [Pair(scaled(pair.image, low, high), pair.labels) for pair in others]
    within = [survey(pair) for pair in train]
    if not any(s.labels for s in within):
        fail("labels", "objects in the images to train on", "all in the part that is held out", "lower `validation`")
    sampler = Sampler(train, within, chosen, batch, seed_of(key))
    showing = sampler.where_objects_are()
    intensities = measured((showing(k) for k in range(LOOKS)), low, high)
    config = {
        "data": _digest(pairs, surveys),
        "net": str(net),
        "start": None if begun_with is None else digest_of(arrays_of(begun_with.variables)),
        "steps": steps,
        "minutes": minutes if steps is None else None,
        "validation": _digest(others, surveys_of_others) if others is not None else validation,
        "augment": augment,
        "window": list(chosen.output),
        "batch": batch,
        "rate": rate,
        "key": np.asarray(jax.random.key_data(key)).tolist() if _typed(key) else np.asarray(key).tolist(),
    }
    from shiftjax.fitting._training import run as _run  # loads optax

    # In the plane objects lie any way round; along z they may have fewer pixels, or more.
    sizes = (*extent[:-2], *(max(extent[-2:]) for _ in extent[-2:]))
    spacing = tuple(max(8, round(SPACING * float(size))) for size in sizes)
    small = small_object(surveys)
    shape = _run.Shape.of(extent)
    plan = _run.Plan(
        net=net,
        window=chosen,
        channels=channels,
        intensities=intensities,
        shape=shape,
        spacing=spacing,
        small=small,
        steps=steps,
        minutes=minutes,
        augment=augment,
        batch=batch,
        rate=rate,
        key=key,
        start=begun_with,
        config=config,
    )
    held = validation_of(test, intensities)
    if progress:
        say(_understood(pairs, len(test), surveys, extent, chosen, apart=others is not None))
        tested = surveys[len(train) :] if others is None else surveys_of_others
        for note in [*_notes(pairs), *_in_parts(surveys), *_seen_twice(surveys[: len(train)], tested, test)]:
            say(note)
        if nuclei is not None:
            say("begun with the model for nuclei; `start=False` begins without experience")
    return _run.run(plan, sampler, held, out=out, resume=resume, progress=progress)


def _understood(
    pairs: Sequence[Pair], test: int, surveys: Sequence[Survey], extent: Any, window: Window, *, apart: bool
) -> str:
    """What the images were taken for, so that a stack that was taken for a volume does not go unseen."""
    ndim, channels = len(window.output), pairs[0].image.channels
    kind = f"{len(pairs)} image{'s' * (len(pairs) > 1)} of {', '.join(AXES[ndim])}"
    colours = "" if channels == 1 else f" with {channels} channels"
    planes = ' (if its planes are images of their own: axes="tyx")' if kind.endswith("z, y, x") else ""
    objects = sum(s.labels for s in surveys)
    size = " x ".join(str(round(float(n))) for n in extent)
    part = test and len(pairs) == 1 and not apart
    others = f"other{'s' * (test > 1)} " if apart else ""
    held = "a part of it held out" if part else f"{test} {others}held out"
    windows, period = (" x ".join(map(str, sizes)) for sizes in (window.output, window.period))
    seen = f"{kind}{colours}{planes}, {objects} objects of about {size} px, {held}"
    return f"{seen}; windows of {windows} px, period {period} px"


def _notes(pairs: Sequence[Pair]) -> list[str]:
    """What a user should know of the files: axes that are assumed, images of a file that are not read."""
    notes = dict.fromkeys(picture.source.note() for pair in pairs for picture in (pair.image, pair.labels))
    told = [note for note in notes if note]
    return [*told[:NOTES], *([f"and {len(told) - NOTES} files more like these"] if len(told) > NOTES else [])]


def _in_parts(surveys: Sequence[Survey]) -> list[str]:
    """That many labels are in several parts, if so."""
    objects, regions = sum(s.pieces for s in surveys), sum(s.regions for s in surveys)
    if regions < PARTS * objects:
        return []
    why = "objects in pieces, or numbers given twice, as 8 bits do beyond 255?"
    return [f"labels are in {regions} separate regions, with {objects} numbers: {why}"]


def _seen_twice(trained: Sequence[Survey], tested: Sequence[Survey], test: Sequence[Pair]) -> list[str]:
    """That an image is trained on and held out, if so; the parts of a single image are not looked at."""
    known = {survey.digest for survey in trained}
    twice = [pair.image.name for pair, survey in zip(test, tested, strict=False) if survey.digest in known]
    return [f"{twice[0]} is held out, and trained on as well: the score tells nothing of other images"] if twice else []


def _nuclei_like(net: Any, channels: int) -> Model | None:
    """The model for nuclei, if its network is this one."""
    model = pretrained("nuclei")
    return model if (model.net, model.channels) == (net, channels) else None


def _check_start(start: Any, net: Any) -> None:
    """Refuses what is no model, or a network beside one."""
    if not all(hasattr(start, name) for name in ("net", "variables", "channels", "window")):
        mend = "open a folder of one by `shiftjax.load_model(folder)`" if isinstance(start, str | Path) else ""
        fail("start", "a model, such as `shiftjax.pretrained` gives, False or None", shown(start), mend)
    if net is not None:
        fail("net", "none beside `start`, whose network is used", shown(net))


def _typed(key: Any) -> bool:
    return jax.dtypes.issubdtype(key.dtype, jax.dtypes.prng_key)


@contextmanager
def _of_validation() -> Iterator[None]:
    """Within it, what is wrong with images or labels is said to be wrong with those of `validation`."""
    try:
        yield
    except (ValueError, TypeError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"`validation`: {error}") from error


def _check_alike(other: Pair, first: Pair) -> None:
    mine, theirs = ((len(p.space), p.image.channels) for p in (other, first))
    if mine != theirs:
        expected = f"images of {theirs[0]} spatial axes and {theirs[1]} channels, as those to train on"
        fail("validation", expected, f"{mine[0]} and {mine[1]} in {other.image.name}")


def _digest(pairs: Sequence[Pair], surveys: Sequence[Survey]) -> str:
    """Of images and labels, in order."""
    total = hashlib.sha256()
    for pair, found in zip(pairs, surveys, strict=True):
        total.update(f"{pair.space} {pair.image.channels} {pair.image.dtype} {found.digest} ".encode())
    return total.hexdigest()
