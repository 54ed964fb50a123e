"""The second fuzzer: random walks over raw calls, guided by the certificate, each judged by running it.

At each step a random call is appended that fits an array at hand. If the certifier refuses the longer walk, the step is
mostly taken back and another is tried, so that most walks end certified; some walks end at their first refusal.

`python -m proofs_tests.certifier.walks --walks 2000 --resume` goes on where the last run ended, in `walks_judged.json`;
`--processes 12 --minutes 8` makes use of a larger machine.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import dataclasses
import gc
import json
import os
import re
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field, replace
from itertools import islice
from multiprocessing import get_context
from pathlib import Path

import jax
import numpy as np

from proofs_tests.certifier.walking.checks import MISCOMPILED, Asked, objections_to
from proofs_tests.certifier.walking.judge import runs
from proofs_tests.certifier.walking.kinds import View
from proofs_tests.certifier.walking.walk import LONGEST, Walk, candidate, first
from proofs_tests.support.flags import FAST
from shiftjax.certifier import Certificate, CertificationError, certify
from shiftjax.certifier._interpret import REPORT

GENERATOR = 2  # to be raised with every change of what a seed draws
JUDGED = Path(__file__).with_name("walks_judged.json")
OPEN: tuple[str, ...] = ()  # texts of faults that are known and not mended yet; empty when all are
CHUNK = 100  # walks between two entries in it
FORGET = 300  # walks after which JAX's caches are emptied; each takes some megabytes
# One walk in so many is judged on that, too.
SHARES = {"larger": 4, "batches": 8, "tiles": 40, "witnesses": 60, "streams": 40}


@dataclass
class Outcome:
    """What came of one seed.

    Attributes:
        walk: as far as it was certified.
        views: of the arrays that it makes.
        certificate: None where nothing but the image itself was.
        refusals: operation and reason of each refused step, numbers left out.
        faults: claims that do not hold, and errors other than refusals.
        shown: claims of minimal periods and attained fields whose witnesses were judged.
    """

    walk: Walk
    views: list[View]
    certificate: Certificate | None = None
    refusals: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    shown: int = 0


def take(seed: int) -> Outcome:
    """The walk of a seed."""
    rng = np.random.default_rng(seed)
    walk = first(rng)
    views = [View(rng, walk.shape, np.dtype(walk.dtype), walk.space)]
    outcome = Outcome(walk, views)
    steps, stubborn = int(rng.integers(1, LONGEST + 1)), rng.random() < 0.1
    for _ in range(4 * steps):
        if len(walk.steps) == steps:
            break
        drawn = candidate(rng, walk, views)
        if drawn is None:
            continue
        longer, made = drawn
        try:
            certificate = certify(longer.function(), longer.image, spatial_axes=longer.space)
        except CertificationError as error:
            if error.advice == REPORT:
                outcome.faults.append(f"a rule fails: {longer}\n{error}")
            outcome.refusals.append(_reason(error))
            if stubborn:
                break
            continue
        except Exception:
            if not runs(longer):
                continue  # JAX itself refuses it
            outcome.faults.append(f"crash: {longer}\n{traceback.format_exc(limit=-4)}")
            continue
        empty = any(a.exact[0] >= a.exact[1] for a in certificate.axes)
        if empty and rng.random() < 0.9:
            continue  # nothing is exact, so nothing is claimed
        walk = longer
        outcome.walk, outcome.certificate = walk, certificate
        views.append(View(rng, made.shape, np.dtype(made.dtype), certificate.output_axes))
    if len(walk.steps) > 1 and rng.random() < 0.08:
        _return_two(outcome, rng)
    return outcome


def _return_two(outcome: Outcome, rng: np.random.Generator) -> None:
    """Two arrays of the walk as its outputs."""
    several = replace(outcome.walk, outputs=(-1, -1 - int(rng.integers(1, len(outcome.walk.steps) + 1))))
    try:
        outcome.certificate = certify(several.function(), several.image, spatial_axes=several.space)
        outcome.walk = several
    except CertificationError as error:
        if error.advice == REPORT:
            outcome.faults.append(f"a rule fails: {several}\n{error}")
        outcome.refusals.append(_reason(error))


def _reason(error: CertificationError) -> str:
    return re.sub(r"-?\d+(\.\d+)?", "N", f"{error.primitive}: {error.reason.split(' (operands')[0]}")


def judged(seed: int, shares: Mapping[str, int] = SHARES) -> Outcome:
    """The walk of a seed, and what is wrong with its certificate."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        outcome = take(seed)
        if outcome.certificate is not None:
            rng = np.random.default_rng((seed, 1))
            asked = Asked(**{name: not rng.integers(n) for name, n in shares.items()})
            try:
                found = list(objections_to(outcome.walk, outcome.certificate, outcome.views, rng, asked))
                outcome.faults += [text for text in found if text != MISCOMPILED]
                outcome.refusals += {MISCOMPILED} & {*found}  # counted: nothing can be said of that walk
                if asked.witnesses:
                    axes = [axis for leaf in outcome.certificate.outputs for axis in leaf.axes]
                    outcome.shown = sum(axis.attained + axis.minimal for axis in axes)
            except Exception:
                outcome.faults.append(f"crash while it was judged:\n{traceback.format_exc(limit=-4)}")
    outcome.faults = [fault for fault in outcome.faults if not any(text in fault for text in OPEN)]
    return outcome


@dataclass
class Ledger:
    """What was judged so far, under one version of the generator.

    Attributes:
        generator: the version.
        ranges: of seeds, the last one excluded.
        programs: walks.
        certificates: walks that were certified.
        kinds: of certificates, how many have periods, phases, fractions, borders of their own.
        shown: claims of minimal periods and attained fields whose witnesses were judged.
        refusals: steps that were refused, by reason.
        faulty: seeds with a fault that is not mended.
    """

    generator: int = GENERATOR
    ranges: list[list[int]] = field(default_factory=list)
    programs: int = 0
    certificates: int = 0
    kinds: dict[str, int] = field(default_factory=dict)
    shown: int = 0
    refusals: dict[str, int] = field(default_factory=dict)
    faulty: list[int] = field(default_factory=list)

    @classmethod
    def read(cls, path: Path) -> Ledger:
        """From a file; empty if there is none, or if it is of another version of the generator."""
        data = json.loads(path.read_text()) if path.exists() else {}
        return cls(**data) if data.get("generator") == GENERATOR else cls()

    def write(self, path: Path) -> None:
        self.refusals = dict(sorted(self.refusals.items(), key=lambda entry: -entry[1]))
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps(dataclasses.asdict(self), indent=1) + "\n")
        fresh.replace(path)

    def add(self, seed: int, outcome: Outcome) -> None:
        if self.ranges and self.ranges[-1][1] == seed:
            self.ranges[-1][1] += 1
        else:
            self.ranges.append([seed, seed + 1])
        self.programs += 1
        self.certificates += outcome.certificate is not None
        self.shown += outcome.shown
        for name in outcome.refusals:
            self.refusals[name] = self.refusals.get(name, 0) + 1
        for name, there in features(outcome.certificate).items():
            self.kinds[name] = self.kinds.get(name, 0) + there
        if outcome.faults:
            self.faulty.append(seed)

    def merge(self, other: Ledger) -> None:
        """Adds what another one counted."""
        self.ranges = _joined([*self.ranges, *other.ranges])
        self.programs += other.programs
        self.certificates += other.certificates
        self.shown += other.shown
        self.faulty += other.faulty
        self.kinds = dict(Counter(self.kinds) + Counter(other.kinds))
        self.refusals = dict(Counter(self.refusals) + Counter(other.refusals))

    def __str__(self) -> str:
        most = list(self.refusals.items())
        lines = [
            f"{self.programs} programs, {self.certificates} certificates, {len(self.faulty)} faults",
            f"{self.shown} witnesses; certificates with {self.kinds}",
            f"{sum(self.refusals.values())} refusals, the most frequent of {len(most)} reasons:",
        ]
        lines += [f"  {n:6d}  {name}" for name, n in sorted(most, key=lambda entry: -entry[1])[:12]]
        return "\n".join(lines)


def _joined(ranges: Iterable[list[int]]) -> list[list[int]]:
    """In order, with neighbours as one."""
    joined: list[list[int]] = []
    for start, stop in sorted(ranges):
        if joined and joined[-1][1] == start:
            joined[-1][1] = stop
        else:
            joined.append([start, stop])
    return joined


def features(cert: Certificate | None) -> dict[str, bool]:
    """What makes a certificate worth judging."""
    axes = [axis for leaf in cert.outputs for axis in leaf.axes] if cert else []
    return {
        "period": any(a.period > 1 for a in axes),
        "phases": any(a.phases > 1 for a in axes),
        "fraction": any(a.stride.denominator > 1 for a in axes),
        "border": any(a.exact != (0, a.out) for a in axes),
        "exact": bool(axes) and all(a.exact[1] - a.exact[0] > a.phases for a in axes),
        "approximate": bool(cert and cert.approximations),
    }


def judge_seeds(seeds: range, shares: Mapping[str, int] = SHARES) -> Iterator[tuple[int, Outcome]]:
    """Each seed with its outcome."""
    for count, seed in enumerate(seeds, 1):
        yield seed, judged(seed, shares)
        if count % FORGET == 0:
            _forget()


def _forget() -> None:
    """Gives back what JAX keeps of the programs so far."""
    jax.clear_caches()
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--walks", type=int, default=1000, help="how many")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="after which no more are begun")
    parser.add_argument("--processes", type=int, default=1, help="side by side")
    parser.add_argument(
        "--resume", action="store_true", help="go on after the last seed in the ledger, and write there"
    )
    parser.add_argument("--first", type=int, default=0, help="the first seed, if not resumed; nothing is written then")
    parser.add_argument("--witnesses", type=int, default=SHARES["witnesses"], help="of one walk in so many")
    parser.add_argument("--ledger", type=Path, default=JUDGED, help="where seeds, counts and faults are kept")
    options = parser.parse_args()
    os.nice(10)
    return _judge_all(options)


def _judge_all(options: argparse.Namespace) -> int:
    ledger = Ledger.read(options.ledger) if options.resume else Ledger()
    start = ledger.ranges[-1][1] if ledger.ranges else options.first
    shares = SHARES | {"witnesses": options.witnesses}
    began, walked = time.perf_counter(), 0
    with tempfile.TemporaryDirectory() as compiled, _workers(options.processes, compiled) as workers:
        ledger.faulty = [
            seed for seed in ledger.faulty if workers.submit(judge_chunk, range(seed, seed + 1)).result().faulty
        ]
        stop = start + options.walks
        chunks = (range(seed, min(seed + CHUNK, stop)) for seed in range(start, stop, CHUNK))
        running: set[Future[Ledger]] = set()
        while True:
            late = time.perf_counter() - began > 60 * options.minutes
            fresh = [] if late else islice(chunks, options.processes + 1 - len(running))
            running |= {workers.submit(judge_chunk, seeds, shares) for seeds in fresh}
            if not running:
                break
            finished, running = wait(running, return_when=FIRST_COMPLETED)
            for done in finished:
                ledger.merge(done.result())
                walked += done.result().programs
            if options.resume:
                ledger.write(options.ledger)
            seconds = time.perf_counter() - began
            print(f"{walked} walks in {seconds:.0f} s, {ledger.certificates} certificates so far", flush=True)
    print(ledger)
    return bool(ledger.faulty)


def _workers(count: int, compiled: str) -> ProcessPoolExecutor:
    """Processes of their own, so that one that dies is an error and not the end of the run without a word."""
    return ProcessPoolExecutor(count, get_context("spawn"), _keep_compiled, (compiled,))


def _keep_compiled(folder: str) -> None:
    """In each process, so that compiled constants outlive `_forget`."""
    jax.config.update("jax_compilation_cache_dir", folder)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def judge_chunk(seeds: range, shares: Mapping[str, int] = SHARES) -> Ledger:
    """What came of these seeds; faults are printed."""
    ledger = Ledger()
    for seed, outcome in judge_seeds(seeds, shares):
        ledger.add(seed, outcome)
        for fault in outcome.faults:
            print(f"seed {seed}: {fault}\n  {outcome.walk}\n  {outcome.certificate}", flush=True)
    return ledger


if __name__ == "__main__":
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    os.environ.setdefault("XLA_FLAGS", FAST)
    sys.exit(main())
