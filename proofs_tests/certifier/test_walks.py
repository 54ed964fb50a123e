"""Random walks: every certificate holds, and a broken certifier is found out within the walks of a default run."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from proofs_tests.certifier.walking.checks import MISCOMPILED
from proofs_tests.certifier.walking.judge import Judge
from proofs_tests.certifier.walking.walk import Walk
from proofs_tests.certifier.walks import GENERATOR, JUDGED, SHARES, Ledger, judge_seeds
from proofs_tests.support.profiles import ARCHITECTURES, examples
from shiftjax._streams import Stream
from shiftjax.certifier import Certificate, _constants, _interpret, certify
from shiftjax.certifier._domain import assembly
from shiftjax.certifier._domain import axis as domain
from shiftjax.certifier._domain.axis import Axis
from shiftjax.certifier._rules import TABLE, pointwise

WALKS = 80  # in the default run
DEEP = 12_000  # an hour


Say = Callable[[str, object], None]


def test_certificates_of_random_walks_hold(record_property: Say) -> None:
    """At the end of the run, programs, certificates, and refusals by reason are printed."""
    ledger = Ledger()
    for seed, outcome in judge_seeds(range(DEEP if examples() > ARCHITECTURES else WALKS)):
        ledger.add(seed, outcome)
        assert not outcome.faults, (seed, outcome)
    record_property("counts", f"random walks: {ledger}")
    assert ledger.certificates > 0.9 * ledger.programs
    assert ledger.refusals.get(MISCOMPILED, 0) < 0.02 * ledger.programs  # of which nothing can be said
    for kind, least in {"period": 0.25, "phases": 0.2, "fraction": 0.15, "border": 0.3, "exact": 0.7}.items():
        assert ledger.kinds[kind] > least * ledger.programs, (kind, ledger.kinds)


def test_what_xla_computes_otherwise_is_told_from_a_false_certificate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole numbers are computed call by call, too, before a certificate is blamed."""
    walk = Walk((1, 6, 1), "int32", (1,))
    cert = certify(walk.function(), walk.image)
    judge = Judge(walk, cert, np.random.default_rng(0))
    assert not judge.miscompiled
    wrong = Judge(walk, cert, np.random.default_rng(0))
    monkeypatch.setattr(wrong, "_run", lambda x: x + 1)
    assert wrong.miscompiled


def test_ledgers_are_added_up() -> None:
    """Chunks come back in any order."""
    whole, parts = Ledger(), [Ledger() for _ in range(3)]
    for seed, outcome in judge_seeds(range(9)):
        whole.add(seed, outcome)
        parts[seed // 3].add(seed, outcome)
    added = Ledger()
    for part in (parts[2], parts[0], parts[1]):
        added.merge(part)
    assert added.ranges == whole.ranges == [[0, 9]]
    assert str(added).splitlines()[0] == str(whole).splitlines()[0]
    assert added.refusals == whole.refusals


def test_what_was_judged_is_of_this_generator() -> None:
    """The ledger that is kept with the tests holds no fault, and its seeds do not overlap."""
    ledger = Ledger.read(JUDGED)
    assert ledger.generator == GENERATOR
    assert not ledger.faulty
    assert sum(stop - start for start, stop in ledger.ranges) == ledger.programs > 0


Break = Callable[[pytest.MonkeyPatch], None]


def _wider_exact(patch: pytest.MonkeyPatch) -> None:
    reached = domain._reached
    patch.setattr(domain, "_reached", lambda *args: (reached(*args)[0] - 1, reached(*args)[1] + 1))


def _field_off_by_one(patch: pytest.MonkeyPatch) -> None:
    def window(axis: Axis, out: int, *, size: int = 1, **rest: int) -> Axis:
        found = honest(axis, out, size=size, **rest)
        return replace(found, hi=tuple(hi - 1 for hi in found.hi)) if size > 1 else found

    honest = domain.window
    patch.setattr(domain, "window", window)


def _any_constant(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(pointwise, "align_constant", lambda eqn, axes, value, own_axes: value.key())


def _nameless_constants(patch: pytest.MonkeyPatch) -> None:
    def align(*args: Any) -> str:
        honest(*args)
        return "a constant"

    honest = pointwise.align_constant
    patch.setattr(pointwise, "align_constant", align)


def _pointwise_mixing(patch: pytest.MonkeyPatch) -> None:
    def apply(eqn: Any, *images: Any) -> Any:
        return [eqn.image(image.axes, images, out=k, moves=True) for k, image in enumerate(images)]

    for name in ("cumsum", "cumprod", "cummax", "sort"):
        patch.setitem(TABLE, name, replace(TABLE[name], apply=apply))


def _nothing_undecided(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(_constants, "undecided", lambda *args, **options: False)


def _everything_continues(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(assembly.Part, "continues", lambda self, other: True)


def _failing_rule(patch: pytest.MonkeyPatch) -> None:
    def apply(*operands: Any) -> Any:
        raise ZeroDivisionError

    patch.setitem(TABLE, "mul", replace(TABLE["mul"], apply=apply))


def _one_name(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Certificate, "same_map", lambda self, other: True)


# Each with the first of the walks that it is tried on, shortly before one that shows it; others would do, in more time.
BROKEN: dict[str, tuple[Break, int]] = {
    "exact windows one pixel too wide": (_wider_exact, 0),
    "fields that lack their last pixel": (_field_off_by_one, 0),
    "constants that may vary along the image": (_any_constant, 0),
    "names without constants": (_nameless_constants, 20),
    "one name for all maps": (_one_name, 0),
    "running sums and sorts along the image": (_pointwise_mixing, 50),
    "rounding that decides nothing": (_nothing_undecided, 10),
    "a rule that fails": (_failing_rule, 0),
    "parts that always continue each other": (_everything_continues, 0),
}


@pytest.fixture(autouse=True)
def fresh_rules() -> Iterator[None]:
    """The table of rules is read anew, before and after."""
    _interpret.rules.cache_clear()
    yield
    _interpret.rules.cache_clear()


@pytest.mark.parametrize("name", BROKEN)
def test_control_a_broken_certifier(name: str, monkeypatch: pytest.MonkeyPatch, record_property: Say) -> None:
    """Counts the walks until the fault shows."""
    break_it, first = BROKEN[name]
    break_it(monkeypatch)
    for seed, outcome in judge_seeds(range(first, first + WALKS)):
        if any(not fault.startswith("crash") for fault in outcome.faults):
            record_property("counts", f"a certifier with {name} is refuted by walk {seed}")
            return
    raise AssertionError(f"{name}: not refuted by {WALKS} walks")


def test_control_a_stream_that_comes_a_pixel_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """Strips of the walks that can be streamed are not those of the whole."""
    honest = vars(Stream)["leads"].fget
    monkeypatch.setattr(Stream, "leads", property(lambda self: tuple(lead - 1 for lead in honest(self))))
    shares = dict.fromkeys(SHARES, sys.maxsize) | {"streams": 1}
    outcomes = (outcome for _, outcome in judge_seeds(range(WALKS), shares))
    assert any("a stream along axis" in fault for outcome in outcomes for fault in outcome.faults)
