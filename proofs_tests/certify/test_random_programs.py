"""Random programs: what the certificate says holds, in exact arithmetic; what it refuses, it refuses by name."""

from __future__ import annotations

import collections

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jax.tree_util import Partial

from proofs_tests.certify.judge import equals_larger, parameters, verdicts
from proofs_tests.certify.programs import Program, programs
from shiftjax.certify import CertificationError, certify

QUIET = {"deadline": None, "suppress_health_check": list(HealthCheck), "database": None, "print_blob": False}
SEEN: collections.Counter[str] = collections.Counter()


def check(program: Program, seed: int) -> None:
    rng = np.random.default_rng(seed)
    params = parameters(rng, program.parameter_shapes())
    fn = Partial(program.apply, params)
    try:
        cert = certify(fn, jax.ShapeDtypeStruct(program.shape, jnp.int32))
    except CertificationError as refusal:
        SEEN[f"refused {refusal.primitive}"] += 1
        return
    SEEN["certified"] += 1
    for claim, holds in verdicts(fn, cert, rng, generic=program.generic):
        SEEN[claim.split(",")[0].split(" of ")[0]] += 1
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
        SEEN["larger"] += 1
        assert equals_larger(fn, cert, larger, rng), (program, cert, larger)


@settings(max_examples=500, derandomize=True, **QUIET)
@given(programs(), st.integers(0, 2**32 - 1))
def test_certificates_hold(program: Program, seed: int) -> None:
    """Period, minimality, receptive field, its ends and the exact window, on random programs."""
    check(program, seed)


def test_the_generator_reaches_far() -> None:
    """Few programs are refused, and every claim is put to the test often."""
    assert SEEN["certified"] > 400
    print(SEEN)


@pytest.mark.deep
@settings(max_examples=5000, **QUIET)
@given(programs(most=10), st.integers(0, 2**32 - 1))
def test_certificates_hold_deep(program: Program, seed: int) -> None:
    """The same, for longer programs and another choice in every run."""
    check(program, seed)
