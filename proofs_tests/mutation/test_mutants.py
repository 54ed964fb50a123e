"""A suite that cannot fail proves nothing: with an operator broken, some claim must fail.

For each mutant the claim that is meant to notice runs in a process of its own, up to the first failure: for three
mutants by default, for all of them with `--hypothesis-profile=deep`. There the other eighteen claims follow, with a
quarter of the examples, and the run ends with a list of which claims caught which mutant.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from proofs_tests.mutation.mutants import DEFAULT, MUTANTS, located
from proofs_tests.support.report import CLAIMS

SUITE = Path(__file__).parent.parent


def run(report: Path, claims: tuple[str, ...], *options: str) -> dict[str, dict[str, Any]]:
    """The claims in a new process: the rows of their report, by claim."""
    files = [f"proofs_tests/claims/test_{claim.replace('-', '_')}.py" for claim in claims]
    command = [sys.executable, "-m", "pytest", *files, "-q", "-n0", "-p", "no:cacheprovider", "--tb=no"]
    command += [f"--claims-report={report}", *options]
    done = subprocess.run(command, cwd=SUITE.parent, capture_output=True, text=True)
    assert report.exists(), done.stdout[-2000:] + done.stderr[-2000:]
    return {row["id"]: row for row in json.loads(report.read_text())}


def is_deep() -> bool:
    return settings.get_current_profile_name() == "deep"


@pytest.mark.parametrize("name", MUTANTS)
def test_what_it_replaces_exists(name):
    for target in MUTANTS[name].targets():
        located(target)


def test_control_a_target_that_does_not_exist_is_an_error():
    with pytest.raises(LookupError, match=r"shiftjax.theory:no_such_rule.*name it as it is now"):
        located("shiftjax.theory:no_such_rule")


@pytest.mark.parametrize("name", MUTANTS)
def test_some_claim_fails(name, tmp_path, record_property):
    if not is_deep() and name not in DEFAULT:
        pytest.skip("runs with --hypothesis-profile=deep")
    meant = MUTANTS[name].claim
    rows = run(tmp_path / "meant.json", (meant,), "--hypothesis-profile=mutants", "--mutant", name, "-x")
    caught = [claim for claim, row in rows.items() if row["status"] == "fails"]
    if is_deep():
        others = tuple(claim for claim in CLAIMS if claim != meant)
        options = ("--hypothesis-profile=mutants-few", "--mutant", name, "-k", "not float32")
        rows_of_others = run(tmp_path / "others.json", others, *options)
        caught += [claim for claim, row in rows_of_others.items() if row["status"] == "fails"]
    record_property("mutant", [name, caught])
    assert meant in caught, f"{name}: caught by {caught or 'no claim'}"
    failures = rows[meant]["failures"]
    wrong = any(word in failure for failure in failures for word in ("assert", "AssertionError", "NotRejectedError"))
    assert wrong, f"crashed instead of failing: {failures}"


def test_control_nothing_fails_without_a_mutant(tmp_path):
    rows = run(tmp_path / "claims.json", ("loss-zero-recovers",), "--hypothesis-profile=mutants")
    assert {claim for claim, row in rows.items() if row["status"] == "holds"} == {"loss-zero-recovers"}
    assert {row["status"] for row in rows.values()} == {"holds", "not run"}


def test_a_claim_does_not_hold_without_its_control(tmp_path):
    rows = run(tmp_path / "claims.json", ("loss-zero-recovers",), "--hypothesis-profile=mutants", "-k", "not control")
    assert rows["loss-zero-recovers"]["status"] == "partly run"
    assert rows["loss-zero-recovers"]["controls"] == 0
