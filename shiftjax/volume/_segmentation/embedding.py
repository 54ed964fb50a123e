"""Where the tiles of an embedding come from: a stored volume, or a network run again on the image."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from shiftjax._checks import fail
from shiftjax.tiling._plan import TilePlan
from shiftjax.volume._jobs.job import Item, Work
from shiftjax.volume._normalize import check_preprocess
from shiftjax.volume._storage.provenance import FORMAT, Identity, digest, geometry, identity, sample
from shiftjax.volume._storage.source import Source, open_source

Tiles = Iterator[tuple[Item, np.ndarray]]
T = TypeVar("T")
AHEAD = 2  # tiles read while one is worked on


@dataclass(frozen=True)
class Recompute:
    """An embedding that is computed whenever it is needed, instead of stored.

    Attributes:
        fn: the network that the plan was made for, with one output.
        source: the image, as `predict_volume` takes it.
        axes: of the image, as `predict_volume` takes them.
        preprocess: as `predict_volume` takes it.
    """

    fn: Callable[[Any], Any]
    source: Any
    axes: str | None = None
    preprocess: Callable[[Any], Any] | None = None


class Stored:
    """An embedding read from storage.

    Attributes:
        work: numbers the tiles; its source has their pixels.
        channels: of the embedding.
        dtype: of the embedding.
    """

    def __init__(self, work: Work) -> None:
        self.work, self.channels, self.dtype = work, work.source.channels, str(work.source.dtype)

    def identity(self) -> Identity:
        """Digests of all that decides its values."""
        source = self.work.source
        pixels = digest(source.axes, source.array.shape, source.dtype)
        plan = digest(*geometry(self.work.plan))
        return {"format": FORMAT, "plan": plan, "embedding": {"pixels": pixels, "blocks": sample(source)}}

    def tiles(self, items: Iterable[Item]) -> Tiles:
        """What tiles deliver, `(1, *space, channel)`, cut at the image's end, in the order of `items`."""
        return ahead(lambda item: self.work.source.at(item[0])(self.work.plan.output_slices(item[1:])), items)


class Computed:
    """An embedding computed from an image, with the same face as a stored one."""

    def __init__(self, work: Work) -> None:
        output = work.plan.outputs[0]
        self.work, self.channels, self.dtype = work, output.channels, output.dtype

    def identity(self) -> Identity:
        return identity(self.work.fn, self.work.plan, self.work.source, self.work.preprocess)

    def tiles(self, items: Iterable[Item]) -> Tiles:
        with closing(self.work.outputs(items)) as outputs:  # type: ignore[type-var]
            for item, images in outputs:
                kept = (slice(at.stop - at.start) for at in self.work.plan.output_slices(item[1:]))
                yield item, images[""][(slice(None), *kept)]


Embedding = Stored | Computed


def open_embedding(embedding: Any, plan: TilePlan, axes: str | None) -> Embedding:
    """The tiles of what `segment_volume` was given.

    Raises:
        ValueError: it does not lie on the image that was planned for, or the network has several outputs.
    """
    if not isinstance(embedding, Recompute):
        source = open_source(embedding, axes)
        _check_space(source, plan)
        return Stored(Work(_nothing, plan, source))
    if axes is not None:
        fail("axes", "none beside a `Recompute`", repr(axes), "give them to the `Recompute`")
    if len(plan.outputs) != 1:
        fail("plan", "one of a network with one output", f"{len(plan.outputs)} outputs", "return the embedding only")
    source = open_source(embedding.source, embedding.axes)
    _check_space(source, plan)
    if source.channels != plan.image_shape[-1]:
        fail("source", f"{plan.image_shape[-1]} channels, as planned", source.channels)
    check_preprocess(embedding.preprocess, plan, source.dtype)
    return Computed(Work(embedding.fn, plan, source, embedding.preprocess))


def _check_space(source: Source, plan: TilePlan) -> None:
    if plan.image_shape[0] != 1:
        fail("plan", "one for a single image", f"one for a batch of {plan.image_shape[0]}")
    if source.space != plan.image_shape[1:-1]:
        wanted = f"{plan.image_shape[1:-1]} pixels, as planned"
        fail("embedding", wanted, f"{source.space} in {source.name}", "plan for this volume")


def _nothing(image: Any) -> Any:
    """Stands for the network of an embedding that is stored."""
    raise NotImplementedError


def ahead(read: Callable[[Item], T], items: Iterable[Item]) -> Iterator[tuple[Item, T]]:
    """Items with what is read for them; the next ones are read in other threads meanwhile."""
    waiting = deque[tuple[Item, Future[T]]]()
    readers = ThreadPoolExecutor(AHEAD, thread_name_prefix="embedding")
    try:
        for item in items:
            waiting.append((item, readers.submit(read, item)))
            if len(waiting) > AHEAD:
                first, future = waiting.popleft()
                yield first, future.result()
        for first, future in waiting:
            yield first, future.result()
    finally:
        readers.shutdown(cancel_futures=True)
