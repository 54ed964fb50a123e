"""A segmentation from stage to stage: codes, fragments, objects, labels. Each goes on where its journal says."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np

from shiftjax._patience import patience, silence
from shiftjax.volume._jobs.resume import check_source, source_changed, unsound_tiles
from shiftjax.volume._jobs.run import Options, Run
from shiftjax.volume._jobs.tiles import Pass
from shiftjax.volume._segmentation.codebook import find_codes
from shiftjax.volume._segmentation.foreground import MaskedEmbedding
from shiftjax.volume._segmentation.objects import join_fragments
from shiftjax.volume._segmentation.passes import FragmentPass, LabelPass, SamplePass, lost_tiles
from shiftjax.volume._storage.claim import Claim
from shiftjax.volume._storage.intermediates import Intermediates, LostError
from shiftjax.volume._storage.journal import NOTHING, Receipt
from shiftjax.volume._targets.provenance import digest
from shiftjax.volume._targets.target import Target


class Settings(NamedTuple):
    """Numbers that decide the result."""

    bandwidth: float
    min_size: int
    samples: int
    seeds: int


class Segmentation:
    """The stages of one segmentation, by the owner of its target.

    The codebook and the number of objects are small and stay, so that a finished target answers at once. Samples,
    fragments and their tables are as many as tiles: they go when the labels are written. Whatever of all this is lost
    or damaged is found again, stage by stage and tile by tile.
    """

    def __init__(
        self,
        masked: MaskedEmbedding,
        target: Target,
        settings: Settings,
        claim: Claim,
        options: Options,
        before_labels: Callable[[], object],
    ) -> None:
        self._before_labels = before_labels  # called before any label is written, as coarser levels show earlier ones
        self._masked, self._volume, self._target = masked, masked.embedding.volume, target
        self._settings, self._claim, self._options = settings, claim, options
        self._intermediates = Intermediates(f"{target.uri}/0/intermediates", target.storage_options)
        self._results = Intermediates(f"{target.uri}/0/results", target.storage_options)
        self._stages = target.journal("stages", seconds=0.0)

    def run(self, codebook: np.ndarray | None, seed: int) -> tuple[int, np.ndarray]:
        """Does all that is left to do; the number of objects, and the codes."""
        self._check_embedding()
        codes = self._once("codes", lambda: self._find_codes(seed) if codebook is None else codebook)
        self._check_labels()
        count = self._once("objects", lambda: np.array(self._label(codes)))
        self._intermediates.clear()
        return int(count), codes

    def _check_embedding(self) -> None:
        """Looks at what the embedding was read from before anything is added.

        Raises:
            VolumeError: it has changed.
        """
        journals = (self._target.journal(name) for name in ("codebook", "fragments"))
        first = next((journal for journal in journals if journal.finished), None)
        if first is not None:
            again = check_source(self._volume, first, self._masked.reading, self._options.verify)
            if again:  # the codes may be other ones, too
                raise source_changed(self._volume, again, len(again))

    def _once(self, stage: str, compute: Callable[[], np.ndarray]) -> np.ndarray:
        """What a stage gives, kept by an earlier run or this one. The result goes first, then the journal's entry."""
        if stage in self._stages.finished:
            with suppress(LostError):
                return self._results.get(stage)[stage]
        result = compute()
        found, before = digest(result), self._stages.receipts.get(stage, NOTHING).wrote
        if stage == "codes" and before not in ("", found):
            self._forget_labels()
        self._results.put(stage, {stage: result})
        self._stages.add(stage, Receipt(wrote=found))
        return result

    def _forget_labels(self) -> None:
        """What was made with codes that were lost, where others were found since, as another device may do."""
        for name in ("fragments", "labels"):
            self._target.journal(name).clear()
        self._stages.clear()  # the number of objects; last, since its entry of the codes says that all this has to go

    def _check_labels(self) -> None:
        """Where labels were lost or damaged since they were finished, they are to be written again."""
        if "objects" in self._stages.finished:
            labels, every = self._target.journal("labels"), set(range(len(self._volume)))
            places = self._volume.output_slices
            unsound = unsound_tiles(self._volume, self._target, labels, self._options.verify, places)
            if unsound or labels.finished != every:
                self._stages.finished.discard("objects")

    def _find_codes(self, seed: int) -> np.ndarray:
        """First pass and mean shift."""
        sampling = SamplePass(self._masked, self._intermediates, seed, self._settings.samples)
        self._pass("codebook", sampling, "sample")
        sample = sampling.sample()
        clustering = patience(f"clustering {len(sample.rank)} pixels of the volume")
        with silence(not self._options.progress), clustering, silence():
            return find_codes(sample, bandwidth=self._settings.bandwidth, seeds=self._settings.seeds)

    def _label(self, codes: np.ndarray) -> int:
        """Second and third pass; how many objects there are."""
        finding = FragmentPass(self._masked, codes, self._settings.bandwidth, self._intermediates)
        self._pass("fragments", finding, "fragments", "table")
        with silence(not self._options.progress), patience("joining objects across tiles"):
            objects = join_fragments(
                finding.tables(),
                grid=self._volume.plan.grid,
                min_size=self._settings.min_size,
                store=self._intermediates,
            )
        local = replace(self._options, client=None)
        writing = Run(self._volume, self._target, self._claim, local, name="labels", before=self._before_labels)
        writing(LabelPass(finding, objects, self._target))
        return objects.count

    def _pass(self, name: str, compute: Pass, *kinds: str) -> None:
        """A pass that stores intermediate results of these kinds."""
        run = Run(
            self._volume,
            self._target,
            self._claim,
            self._options,
            name=name,
            # Tiles that are lost are read before they are computed again: what a changed source gave would stay.
            reread=self._masked.reading,
            unsound=partial(lost_tiles, kinds, self._volume, self._intermediates),
            read=self._target.journal("codebook").receipts,
        )
        run(compute)
