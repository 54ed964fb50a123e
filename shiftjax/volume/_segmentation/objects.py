"""From the fragments of all tiles to objects: joined where they meet at a tile face with one code, and numbered.

Tiles are joined layer by layer, a layer being the tiles of one time point at one place along the first axis of space.
In memory there is one layer at a time, however long the volume is; what is known of the others is stored. Three walks
over the layers give every fragment the number of its object:

1. forwards, fragments of a layer and the components that reach it from the one before are joined to components;
2. backwards, every component learns the size and the first pixel of the whole object, which its last layer knows;
3. forwards, objects are numbered where their first pixel lies; in later layers they are known by it, since an object
   reaches without a gap from the layer of its first pixel to each of the others.
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import NamedTuple, Protocol

import numpy as np

from shiftjax._graph import components
from shiftjax.volume._jobs.tiles import TileAtTime
from shiftjax.volume._segmentation.fragments import FragmentTable

Layer = tuple[int, ...]  # the time point, and the place along the first axis of space
Arrays = dict[str, np.ndarray]


class Store(Protocol):
    """Where layers wait; the intermediate results of a target are one."""

    def put(self, name: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Keeps arrays under a name."""

    def get(self, name: str) -> Arrays:
        """The arrays of this name."""


class Reach(NamedTuple):
    """The components that reach the next layer.

    Attributes:
        size: pixels so far.
        first: flat index of the first pixel so far.
        code: of each.
        faces: by the place of a tile in its layer, the component at each of its last pixels along the first axis,
            from 1, and 0 where there is none.
    """

    size: np.ndarray
    first: np.ndarray
    code: np.ndarray
    faces: dict[TileAtTime, np.ndarray]


NOWHERE = Reach(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.int64), {})


class VolumeObjects:
    """The objects of a volume.

    Attributes:
        count: how many there are.
    """

    def __init__(self, layers: Sequence[Layer], grid: Sequence[int], store: Store, count: int) -> None:
        self._layers, self._grid, self._store, self.count = layers, tuple(grid), store, count
        self._ids: tuple[Layer, Arrays] | None = None  # of the layer that was asked for last

    def of_tile(self, tile: TileAtTime) -> np.ndarray:
        """The ids of a tile's fragments 0 (background), 1, 2...: uint64, 0 where the object was too small."""
        layer = tile[:2]
        if self._ids is None or self._ids[0] != layer:
            self._ids = layer, self._store.get(_name("ids", layer))
        ids, begin = self._ids[1]["ids"], self._ids[1]["begin"]
        at = int(np.ravel_multi_index(tile[2:], self._grid[1:])) if self._grid[1:] else 0
        return np.concatenate([np.zeros(1, np.uint64), ids[begin[at] : begin[at + 1]]])

    @property
    def size(self) -> np.ndarray:
        """Pixels of the objects 1, 2, 3..."""
        sizes = [self._store.get(_name("ids", layer))["size"] for layer in self._layers]
        return np.concatenate([np.zeros(0, np.int64), *sizes])


class TemporaryStore:
    """Layers in files that go with this object."""

    def __init__(self) -> None:
        self._folder = tempfile.mkdtemp(prefix="shiftjax-")
        weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)

    def put(self, name: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Keeps arrays under a name."""
        np.savez(f"{self._folder}/{name}.npz", allow_pickle=False, **arrays)

    def get(self, name: str) -> Arrays:
        """The arrays of this name."""
        with np.load(f"{self._folder}/{name}.npz") as arrays:
            return {key: arrays[key] for key in arrays.files}


def join_fragments(
    tables: Iterable[tuple[TileAtTime, FragmentTable]],
    *,
    grid: Sequence[int],
    min_size: int = 0,
    store: Store | None = None,
) -> VolumeObjects:
    """Joins fragments across tile faces; time points stay apart.

    Args:
        tables: all tiles of all time points, in raster order; each is looked at once.
        grid: tiles per axis of space.
        min_size: pixels of the smallest object that stays.
        store: where layers wait; a folder of its own by default.

    Returns:
        The objects, 1, 2, 3... by first pixel in raster order.
    """
    kept = TemporaryStore() if store is None else store
    layers, reach = [], NOWHERE
    for layer, members in groupby(tables, lambda member: member[0][:2]):
        reach = _join_layer(layer, members, grid, NOWHERE if layer[1] == 0 else reach, kept)
        layers.append(layer)
    _tell_whole_objects(layers, kept)
    return VolumeObjects(layers, grid, kept, _number(layers, kept, min_size))


def _join_layer(
    layer: Layer,
    members: Iterable[tuple[TileAtTime, FragmentTable]],
    grid: Sequence[int],
    before: Reach,
    store: Store,
) -> Reach:
    """First walk: the components of a layer, stored, and those of them that reach the next one.

    Nodes are the components that reach it from the layer before, then the fragments of its tiles.
    """
    reached = total = len(before.size)
    sizes, firsts, codes, begin = [before.size], [before.first], [before.code], [0]
    pairs: list[np.ndarray] = [np.zeros((0, 2), np.int32)]  # no layer has two billion fragments
    waiting: dict[tuple[int, TileAtTime], tuple[np.ndarray, np.ndarray, int]] = {}
    last: dict[TileAtTime, tuple[np.ndarray, int]] = {}
    for tile, table in members:
        if tile[1] > 0:
            found = _meetings(before.faces.pop(tile[2:]), before.code, table.low[0], table.code)
            pairs.append(np.add(found, (0, total)).astype(np.int32))
        for axis, count in list(enumerate(grid))[1:]:
            if tile[axis + 1] > 0:
                high, code, offset = waiting.pop((axis, _before(tile, axis + 1)))
                found = _meetings(high, code, table.low[axis], table.code)
                pairs.append(np.add(found, (offset, total)).astype(np.int32))
            if tile[axis + 1] + 1 < count:
                waiting[axis, tile] = table.high[axis], table.code, total
        if tile[1] + 1 < grid[0]:
            last[tile[2:]] = table.high[0], total
        sizes.append(table.size)
        firsts.append(table.first)
        codes.append(table.code)
        total += len(table.size)
        begin.append(total - reached)
    edges = np.concatenate(pairs)
    del pairs, waiting
    count, whole = components(edges[:, 0], edges[:, 1], total)
    del edges
    size, first = np.zeros(count, np.int64), np.full(count, np.iinfo(np.int64).max)
    code = np.zeros(count, np.int64)
    np.add.at(size, whole, np.concatenate(sizes))
    np.minimum.at(first, whole, np.concatenate(firsts))
    code[whole] = np.concatenate(codes)
    is_alive = np.zeros(count, bool)
    for place, (face, offset) in last.items():
        last[place] = _components_at(face, whole, offset), 0
        is_alive[last[place][0][last[place][0] > 0] - 1] = True
    alive = np.flatnonzero(is_alive)
    renumbered = np.concatenate([np.zeros(1, np.int32), np.cumsum(is_alive, dtype=np.int32)])
    faces = {place: renumbered[face] for place, (face, _) in last.items()}
    known = {"whole": whole, "begin": begin, "reached": reached, "alive": alive, "size": size, "first": first}
    store.put(_name("layer", layer), {name: np.asarray(value) for name, value in known.items()})
    return Reach(size[alive], first[alive], code[alive], faces)


def _tell_whole_objects(layers: Sequence[Layer], store: Store) -> None:
    """Second walk: stores size and first pixel of the whole object of every component."""
    size = first = np.zeros(0, np.int64)
    for layer in reversed(layers):
        known = store.get(_name("layer", layer))
        whole_size, whole_first = known["size"], known["first"]
        whole_size[known["alive"]], whole_first[known["alive"]] = size, first
        store.put(_name("objects", layer), {"size": whole_size, "first": whole_first})
        reached = known["whole"][: int(known["reached"])]
        size, first = whole_size[reached], whole_first[reached]


def _number(layers: Sequence[Layer], store: Store, min_size: int) -> int:
    """Third walk: stores the number of every fragment's object; how many objects there are."""
    count = 0
    for layer in layers:
        known, objects = store.get(_name("layer", layer)), store.get(_name("objects", layer))
        if layer[1] == 0:
            earlier, earlier_id = np.zeros(0, np.int64), np.zeros(0, np.uint64)
        keep = objects["size"] >= min_size
        firsts, at = np.unique(objects["first"][keep], return_index=True)
        where = np.searchsorted(earlier, firsts).clip(max=max(0, len(earlier) - 1))
        is_known = earlier[where] == firsts if len(earlier) else np.zeros(len(firsts), bool)
        ids = np.zeros(len(firsts), np.uint64)
        ids[is_known] = earlier_id[where[is_known]] if len(earlier) else 0
        ids[~is_known] = np.arange(count + 1, count + 1 + (~is_known).sum(), dtype=np.uint64)
        count += int((~is_known).sum())
        of_component = np.zeros(len(keep), np.uint64)
        of_component[keep] = ids[np.searchsorted(firsts, objects["first"][keep])]
        of_fragment = of_component[known["whole"][int(known["reached"]) :]]
        sizes = objects["size"][keep][at][~is_known]
        store.put(_name("ids", layer), {"ids": of_fragment, "begin": known["begin"], "size": sizes})
        alive = known["alive"]
        order = np.argsort(objects["first"][alive], kind="stable")
        earlier, earlier_id = objects["first"][alive][order], of_component[alive][order]
    return count


def _name(kind: str, layer: Layer) -> str:
    return "-".join([kind, *map(str, layer)])


def _before(tile: TileAtTime, axis: int) -> TileAtTime:
    return (*tile[:axis], tile[axis] - 1, *tile[axis + 1 :])


def _components_at(face: np.ndarray, whole: np.ndarray, offset: int) -> np.ndarray:
    """The components, from 1, of a tile's fragments at a face; 0 where there is none."""
    found = np.zeros(face.shape, np.int32)
    found[face > 0] = whole[face[face > 0].astype(np.int64) - 1 + offset] + 1
    return found


def _meetings(high: np.ndarray, high_code: np.ndarray, low: np.ndarray, low_code: np.ndarray) -> np.ndarray:
    """Pairs of fragments of one code, counted from 0, that touch between the faces of two neighbouring tiles."""
    both = (high > 0) & (low > 0)
    before, after = high[both].astype(np.int64) - 1, low[both].astype(np.int64) - 1
    same = high_code[before] == low_code[after]
    width = max(len(low_code), 1)  # a pair as one number, so that each is counted once
    return np.stack(np.divmod(np.unique(before[same] * width + after[same]), width), axis=1)
