"""Fragments of tiles, joined across faces, are the regions of the whole: exactly, in any tiling, in 2-D and 3-D."""

from __future__ import annotations

import gc
import tracemalloc
import weakref
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proofs_tests.support.profiles import more
from proofs_tests.volume.code_volumes import in_memory, spiral, tilings, u_shape
from shiftjax.volume._segmentation import objects as joining
from shiftjax.volume._segmentation.fragments import FragmentTable, find_fragments, from_arrays, to_arrays
from shiftjax.volume._segmentation.objects import join_fragments
from shiftjax.volume._storage.intermediates import pack, unpack


class InMemory:
    """Layers that wait in memory: quicker than files, of which `test_layers_wait_in_files` is."""

    def __init__(self):
        self.kept: Any = {}

    def put(self, name, arrays):
        self.kept[name] = arrays

    def get(self, name):
        return {key: np.array(value) for key, value in self.kept[name].items()}


def in_tiles(codes, tile, *, min_size=0, repack=False):
    """Labels of codes `(time, *space)`, found tile by tile."""
    shape, grid = codes.shape, tuple(-(-n // t) for n, t in zip(codes.shape[1:], tile, strict=True))
    tiles = list(product(range(shape[0]), *map(range, grid)))
    window: Any = {k: (k[0], *(slice(i * t, (i + 1) * t) for i, t in zip(k[1:], tile, strict=True))) for k in tiles}
    start = {k: (k[0], *(i * t for i, t in zip(k[1:], tile, strict=True))) for k in tiles}
    found = {k: find_fragments(codes[window[k]], start=start[k], shape=shape) for k in tiles}
    tables = ((k, from_arrays(unpack(pack(to_arrays(found[k][1])))) if repack else found[k][1]) for k in tiles)
    objects = join_fragments(tables, grid=grid, min_size=min_size, store=None if repack else InMemory())
    labels = np.zeros(shape, np.uint64)
    for k in tiles:
        labels[window[k]] = objects.of_tile(k)[found[k][0]]
    return labels, objects


@more
@given(tilings(), st.integers(0, 6))
@example((spiral(16)[None], (4, 4)), 0)
@example((spiral(16)[None], (3, 5)), 0)
@example((u_shape()[None], (3, 3)), 0)
@example((np.stack([u_shape()] * 5)[None], (2, 3, 4)), 0)
@example((np.full((2, 5, 5), -1, np.int32), (2, 2)), 0)
def test_joined_fragments_are_the_regions_of_the_whole(case, min_size):
    codes, tile = case
    found, objects = in_tiles(codes, tile, min_size=min_size)
    expected = in_memory(codes, min_size=min_size)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(objects.size, np.bincount(expected.ravel().astype(int))[1:])


@pytest.mark.parametrize("codes", [spiral(16), u_shape()])
def test_the_winding_objects_touch_many_tiles_and_are_one(codes):
    assert (in_tiles(codes[None], (3, 3))[0] > 0).sum() == (codes >= 0).sum()
    touched = sum((codes[a : a + 3, b : b + 3] == 0).any() for a in range(0, 15, 3) for b in range(0, 15, 3))
    assert touched >= 7
    assert len(np.unique(in_tiles(codes[None], (3, 3))[0][0][codes == 0])) == 1


def test_control_faces_not_joined(monkeypatch):
    monkeypatch.setattr(joining, "_meetings", lambda *faces: np.zeros((0, 2), np.int64))
    codes = spiral(16)[None]
    assert in_tiles(codes, (4, 4))[0].max() > in_memory(codes).max() == 1


def test_control_joined_without_comparing_codes(monkeypatch):
    right = joining._meetings
    blind = lambda high, a, low, b: right(high, np.zeros_like(a), low, np.zeros_like(b))  # noqa: E731
    monkeypatch.setattr(joining, "_meetings", blind)
    codes = np.array([[[0, 0, 1, 1]]], np.int32)
    assert in_tiles(codes, (1, 2))[0].max() == 1
    assert in_memory(codes).max() == 2


def test_control_joined_along_one_axis_only(monkeypatch):
    right, calls = joining._meetings, []

    def every_other(*faces):
        calls.append(1)
        return right(*faces)[: len(calls) % 2 * 10**6]

    monkeypatch.setattr(joining, "_meetings", every_other)
    assert not np.array_equal(in_tiles(spiral(16)[None], (4, 4))[0], in_memory(spiral(16)[None]))


def test_time_points_do_not_join():
    codes = np.zeros((3, 4, 4), np.int32)
    assert np.unique(in_tiles(codes, (2, 2))[0].reshape(3, -1), axis=1).tolist() == [[1], [2], [3]]


def test_of_all_faces_only_those_of_one_layer_of_tiles_wait():
    def most_waiting(layers):
        faces: list[weakref.ref] = []
        most = 0

        def tables():
            nonlocal most
            for place in product([0], range(layers), range(3)):
                start, shape = (0, 2 * place[1], 2 * place[2]), (1, 2 * layers, 6)
                table = find_fragments(np.zeros((2, 2), np.int32), start=start, shape=shape)[1]
                faces.extend(weakref.ref(face) for face in table.high)
                yield place, table
                del table
                most = max(most, sum(face() is not None for face in faces))

        assert len(join_fragments(tables(), grid=(layers, 3)).size) == 1
        return most

    assert 0 < most_waiting(30) == most_waiting(3) < 3 * 3 * 2


def test_layers_wait_in_files():
    codes = np.random.default_rng(0).integers(-1, 2, (2, 9, 7)).astype(np.int32)
    found, objects = in_tiles(codes, (2, 3), repack=True, min_size=2)
    np.testing.assert_array_equal(found, in_memory(codes, min_size=2))
    folder = Path(objects._store._folder)
    assert len(list(folder.iterdir())) == 2 * 5 * 3
    del objects
    assert not folder.exists()


def most_memory(layers, wide, pieces=20):
    """Bytes that joining takes at most, beside one tile's table."""
    faces = np.random.default_rng(0).integers(0, pieces + 1, (4, 8)).astype(np.uint32)
    low = tuple(faces[:1] if axis == 0 else faces[:, :1] for axis in range(2))
    table = FragmentTable(np.zeros(pieces, np.int32), np.full(pieces, 9), np.arange(pieces), low, low)
    tracemalloc.start()
    join_fragments(((place, table) for place in product([0], range(layers), range(wide))), grid=(layers, wide))
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return most


@pytest.fixture
def collected_often():
    """What is garbage is found as soon as Python does by itself; the tests let it lie for longer."""
    before = gc.get_threshold()
    gc.set_threshold(700, 10, 10)
    yield
    gc.set_threshold(*before)


def test_memory_is_that_of_a_layer(collected_often):
    most_memory(3, 3)
    deep, flat = (min(most_memory(layers, 20) for _ in range(3)) for layers in (24, 6))  # other threads take some
    assert deep < 1.5 * flat
    assert most_memory(4, 160) > 2 * most_memory(6, 20)  # control: a wider layer takes more


def test_tables_survive_packing_and_torn_ones_do_not():
    codes = np.random.default_rng(0).integers(-1, 3, (2, 6, 7, 5)).astype(np.int32)
    np.testing.assert_array_equal(in_tiles(codes, (2, 3, 4), repack=True)[0], in_memory(codes))
    data = pack(to_arrays(find_fragments(codes[0], start=(0, 0, 0, 0), shape=codes.shape)[1]))
    flipped = bytearray(data)
    flipped[len(data) // 3] ^= 0xFF
    for torn in (data[: len(data) // 2], bytes(flipped), b""):
        with pytest.raises(ValueError, match="damaged"):
            unpack(torn)
