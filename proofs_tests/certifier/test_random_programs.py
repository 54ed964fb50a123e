"""Random programs: what the certificate says holds, in exact arithmetic; what it refuses, it refuses by name."""

from __future__ import annotations

import collections
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jax.tree_util import Partial

from proofs_tests.certifier.judge import equals_larger, parameters, verdicts
from proofs_tests.certifier.programs import Program, programs
from proofs_tests.support.profiles import ARCHITECTURES, examples
from shiftjax.certifier import CertificationError, certify
from shiftjax.certifier._domain import assembly
from shiftjax.certifier._domain.values import Image
from shiftjax.certifier._interpret import REPORT
from shiftjax.certifier._rules import layout, updating

PROGRAMS = 10 * examples() if examples() == ARCHITECTURES else 16 * examples()  # ten thousand in the deep run
WITNESSED = 3 if examples() > ARCHITECTURES else 64  # one in so many has its witnesses looked for and judged
ALL = list(HealthCheck)
QUIET: dict[str, Any] = {"deadline": None, "suppress_health_check": ALL, "database": None, "print_blob": False}


def check(program: Program, seed: int) -> None:
    rng = np.random.default_rng(seed)
    params = parameters(rng, program.parameter_shapes())
    fn = Partial(program.apply, params)
    try:
        cert = certify(fn, jax.ShapeDtypeStruct(program.shape, jnp.int32))
    except CertificationError as refusal:
        if refusal.advice == REPORT:  # a rule that fails is no refusal
            raise
        return
    for claim, holds in verdicts(fn, cert, rng, witnesses=not rng.integers(WITNESSED)):
        assert holds, (claim, program, cert, [a.lo for a in cert.axes], [a.hi for a in cert.axes])
    extra = [int(rng.integers(1, p + 3)) for p in cert.period]
    shape = (1, *(n + e for n, e in zip(program.shape[1:-1], extra, strict=True)), program.shape[-1])
    if rng.integers(3):
        return
    try:
        larger = certify(fn, jax.ShapeDtypeStruct(shape, jnp.int32))
    except CertificationError:
        return
    if cert.same_map(larger):
        assert equals_larger(fn, cert, larger, rng), (program, cert, larger)


@settings(max_examples=PROGRAMS, **QUIET)
@given(programs(), st.integers(0, 2**32 - 1))
def test_certificates_hold(program: Program, seed: int) -> None:
    """Period, receptive field, exact window, and the witnesses that the period is minimal and the field all read."""
    check(program, seed)


def test_the_generator_finds_hard_cases(monkeypatch: pytest.MonkeyPatch) -> None:
    """Most programs are certified, many with periods, phases and borders of their own."""
    seen: collections.Counter[str] = collections.Counter()

    def assemble(parts: Sequence[assembly.Part]) -> Image:
        seen["parts"] += len(parts) > 1
        return assembly.assemble(parts)

    for family in (layout, updating):
        monkeypatch.setattr(family, "assemble", assemble)

    @settings(max_examples=150, derandomize=True, **QUIET)
    @given(programs())
    def look(program: Program) -> None:
        shapes = [jax.ShapeDtypeStruct(shape, jnp.int32) for shape in program.parameter_shapes()]
        try:
            cert = certify(Partial(program.apply, shapes), jax.ShapeDtypeStruct(program.shape, jnp.int32))
        except CertificationError:
            return
        seen["certified"] += 1
        seen["period"] += any(axis.period > 1 for axis in cert.axes)
        seen["phases"] += any(axis.phases > 1 for axis in cert.axes)
        seen["fraction"] += any(axis.stride.denominator > 1 for axis in cert.axes)
        seen["border"] += any(axis.exact != (0, axis.out) for axis in cert.axes)
        seen["exact"] += all(axis.exact[1] - axis.exact[0] > axis.phases for axis in cert.axes)

    look()
    assert seen["certified"] > 100
    for kind, least in {"period": 40, "phases": 40, "fraction": 15, "border": 30, "exact": 60}.items():
        assert seen[kind] > least, (kind, seen)
    assert seen["parts"] > 10, seen
