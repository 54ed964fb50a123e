"""A segmentation from stage to stage: codes, fragments, objects, labels. Each goes on where its journal says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from shiftjax.volume._jobs.run import Run, lost_tiles
from shiftjax.volume._jobs.tiles import Pass
from shiftjax.volume._segmentation.codebook import find_codes
from shiftjax.volume._segmentation.foreground import MaskedEmbedding
from shiftjax.volume._segmentation.objects import join_fragments
from shiftjax.volume._segmentation.passes import FragmentPass, LabelPass, SamplePass, tables
from shiftjax.volume._storage.intermediates import Intermediates
from shiftjax.volume._storage.target import Target


class Settings(NamedTuple):
    """Numbers that decide the result."""

    bandwidth: float
    min_size: int
    samples: int
    seeds: int


class Segmentation:
    """The stages of one segmentation.

    The codebook and the number of objects are small and stay, so that a finished target answers at once. Samples,
    fragments and their tables are as many as tiles: they go when the labels are written.
    """

    def __init__(
        self, masked: MaskedEmbedding, target: Target, settings: Settings, progress: bool, client: Any
    ) -> None:
        self._masked, self._volume, self._target = masked, masked.embedding.volume, target
        self._settings, self._progress, self._client = settings, progress, client
        self._intermediates = Intermediates(f"{target.uri}/0/intermediates", target.storage_options)
        self._results = Intermediates(f"{target.uri}/0/results", target.storage_options)
        self._stages = target.journal("stages", seconds=0.0)

    def run(self, codebook: np.ndarray | None, seed: int) -> tuple[int, np.ndarray]:
        """Does all that is left to do; the number of objects, and the codes."""
        self._once("codes", lambda: self._find_codes(seed) if codebook is None else codebook)
        codes = self._result("codes")
        self._check_labels()
        self._once("objects", lambda: np.array(self._label(codes)))
        self._intermediates.clear()
        return int(self._result("objects")), codes

    def _once(self, stage: str, compute: Callable[[], np.ndarray]) -> None:
        """Keeps what a stage gives, unless an earlier run has. The result goes first, then the journal's entry."""
        if stage not in self._stages.finished:
            self._results.put(stage, {stage: compute()})
            self._stages.add(stage)

    def _result(self, stage: str) -> np.ndarray:
        return self._results.get(stage)[stage]

    def _check_labels(self) -> None:
        """Where labels have been removed since they were finished, finds the fragments again, which are not kept."""
        every = range(len(self._volume))
        if "objects" in self._stages.finished and lost_tiles(self._volume, self._target, every):
            self._intermediates.clear()
            self._target.journal("fragments").clear()
            self._stages.finished.discard("objects")

    def _find_codes(self, seed: int) -> np.ndarray:
        """First pass and mean shift."""
        sampling = SamplePass(self._masked, self._intermediates, seed, self._settings.samples)
        self._pass("codebook", sampling, self._client)
        return find_codes(sampling.sample(), bandwidth=self._settings.bandwidth, seeds=self._settings.seeds)

    def _label(self, codes: np.ndarray) -> int:
        """Second and third pass; how many objects there are."""
        finding = FragmentPass(self._masked, codes, self._settings.bandwidth, self._intermediates)
        self._pass("fragments", finding, self._client)
        in_order = tables(self._volume, self._intermediates)
        objects = join_fragments(in_order, grid=self._volume.plan.grid, min_size=self._settings.min_size)
        self._pass("labels", LabelPass(self._volume, self._intermediates, objects, self._target))
        return len(objects.size)

    def _pass(self, name: str, compute: Pass, client: Any = None) -> None:
        # Only the labels are chunks of the target, which can be looked for; the other passes store intermediates.
        run = Run(self._volume, self._target, self._progress, name=name, writes=name == "labels")
        run(compute, client=client)
