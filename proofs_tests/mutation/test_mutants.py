"""A suite that cannot fail proves nothing: with an operator broken, some claim must fail.

Every mutant runs the claims in a process of its own. By default three of them run the claim meant for them; with
`--hypothesis-profile=deep` all of them run all sixteen claims, and the run ends with a list of which caught which.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import settings

from proofs_tests.mutation.mutants import DEFAULT, MUTANTS

SUITE = Path(__file__).parent.parent


def run(name: str, files: list[str], report: Path) -> dict[str, dict]:
    command = [sys.executable, "-m", "pytest", *files, "-q", "-n0", "-p", "no:cacheprovider", "--mutant", name]
    command += ["--hypothesis-profile=mutants", f"--claims-report={report}", "--tb=no"]
    done = subprocess.run(command, cwd=SUITE.parent, capture_output=True, text=True)
    assert report.exists(), done.stdout[-2000:] + done.stderr[-2000:]
    return {row["id"]: row for row in json.loads(report.read_text())}


def file_of(claim: str) -> str:
    return f"proofs_tests/test_{claim.replace('-', '_')}.py"


@pytest.mark.parametrize("name", MUTANTS)
def test_some_claim_fails(name, tmp_path, record_property):
    deep = settings.get_current_profile_name() == "deep"
    if not deep and name not in DEFAULT:
        pytest.skip("runs with --hypothesis-profile=deep")
    files = sorted(f"proofs_tests/{path.name}" for path in SUITE.glob("test_*.py"))
    rows = run(name, files if deep else [file_of(MUTANTS[name].claim)], tmp_path / "claims.json")
    caught = [claim for claim, row in rows.items() if row["status"] == "fails"]
    record_property("mutant", [name, caught])
    assert MUTANTS[name].claim in caught, f"{name}: caught by {caught or 'no claim'}"
    failures = rows[MUTANTS[name].claim]["failures"]
    assert any(
        "Error" not in failure.split(": ", 1)[1].split(":")[0] or "Assertion" in failure for failure in failures
    ), f"crashed instead of failing: {failures}"


def test_control_the_claims_hold_without_a_mutant(tmp_path):
    """The same run with nothing broken passes, so it is the mutant that fails above."""
    report = tmp_path / "claims.json"
    command = [
        sys.executable,
        "-m",
        "pytest",
        file_of("lattice-capacity"),
        "-q",
        "-n0",
        "-p",
        "no:cacheprovider",
        "--tb=no",
    ]
    command += ["--hypothesis-profile=mutants", f"--claims-report={report}"]
    assert subprocess.run(command, cwd=SUITE.parent, capture_output=True).returncode == 0
    rows = {row["id"]: row["status"] for row in json.loads(report.read_text())}
    assert rows["lattice-capacity"] == "holds"
    assert rows["stitching"] == "not run"
