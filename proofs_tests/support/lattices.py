"""Copies of one pixel on a lattice: how many embeddings they get, and how many phases they show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from proofs_tests.support.exact import Run, Subject
from proofs_tests.support.subjects import subjects
from proofs_tests.support.textures import Basis, counts, diagonal, texture
from shiftjax.testing import strategies
from shiftjax.testing.strategies import input_for

CASES = 4
EXTENT = {1: 150, 2: 26, 3: 9}  # output pixels per axis


@dataclass(frozen=True)
class Repeated:
    """A network and lattices; each gives one image that repeats along it."""

    subject: Subject
    lattices: tuple[Basis, ...]

    def count(self, run: Run) -> list[tuple[np.ndarray, np.ndarray]]:
        """Per lattice and class of pixels: the number of embeddings and the number of phases shown."""
        subject = self.subject
        size = input_for(subject.net, [max(EXTENT[subject.net.ndim], p) for p in subject.net.period])
        rng = subject.rng
        images = [texture(rng, size, basis, subject.channels) for basis in self.lattices]
        images += images[-1:] * (CASES - len(images))
        found = run(np.concatenate(images))
        return [counts(y, basis, subject.net.period) for y, basis in zip(found, self.lattices, strict=False)]


def bases(ndim: int, *, largest: int = 6) -> st.SearchStrategy[Basis]:
    """Lattices along the axes, and others."""
    return strategies.pitches(ndim, largest).map(diagonal) | strategies.lattices(ndim, largest=largest)


@st.composite
def repeated(draw, *, largest: int = 6, **options) -> Repeated:
    """A small network, and lattices that come round within its output."""
    options = {"pixels": {1: 260, 2: 44, 3: 16}, "largest_period": 8, **options}
    subject = draw(subjects(**options))
    some = st.lists(bases(subject.net.ndim, largest=largest), min_size=CASES, max_size=CASES)
    return Repeated(subject, tuple(draw(some)))


def shown(basis: Basis, period: Sequence[int], extent: Sequence[int]) -> bool:
    """Whether every class of the lattice modulo the period lies within the extent: enough turns of each row fit."""
    reach = np.abs(np.array(basis)).sum(axis=0) * (np.max(period) - 1)
    return bool((reach < extent).all())
