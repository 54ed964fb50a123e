"""`benchmarks/accelerator.py`, in sizes for a CPU: every part gives a table, and one that fails spoils no other."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def session_module(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from _accelerator import session

    return session


def results(folder):
    return json.loads((folder / "results.json").read_text())["parts"]


def run(folder, *options):
    command = [sys.executable, str(BENCHMARKS / "accelerator.py"), "--out", str(folder), "--tiny", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=BENCHMARKS.parent)
    assert done.returncode == 0, done.stdout + done.stderr
    return results(folder)


def test_the_first_part_runs_on_a_cpu(tmp_path):
    (part,) = run(tmp_path, "--parts", "limits")
    assert part["state"] == "done"
    assert not part["notes"]
    assert all(row["value"] > 0 for row in part["rows"])
    assert "| limit | value | unit |" in (tmp_path / "results.md").read_text()


@pytest.mark.deep
def test_all_parts_run_on_a_cpu(tmp_path):
    parts = run(tmp_path, "--minutes", "20")
    assert {part["state"] for part in parts} == {"done"}
    assert not [note for part in parts for note in part["notes"] if "failed" in note]
    assert all(part["rows"] for part in parts)


def test_a_part_that_fails_or_takes_too_long_spoils_no_other(session_module, tmp_path):

    def fails(session):
        with session.attempt("a measurement"):
            raise ValueError("of its own")
        session.row(after="a failed measurement")
        raise RuntimeError("out of\nmemory")

    def never_ends(session):
        while True:
            pass

    with session_module.Session(tmp_path, tmp_path, minutes=0.1, tiny=True, machine={}) as session:
        session.part("first", fails, 0.1)
        session.part("second", never_ends, 0.01)
        session.part("third", lambda session: session.row(value=1.0), 1.0)
    first, second, third = results(tmp_path)
    assert first["state"] == "failed: RuntimeError: out of memory"
    assert first["notes"] == ["a measurement failed: ValueError: of its own"]
    assert first["rows"] == [{"after": "a failed measurement"}]
    assert second["state"] == "stopped: its time was over"
    assert third["rows"] == [{"value": 1.0}]


def test_the_figures_that_are_kept_are_those_that_were_measured(session_module):
    """Tables are made of the results, and README.md beside them copies no other number."""
    from _accelerator import tables

    readme = (BENCHMARKS / "README.md").read_text().split("## First figures from a GPU")[1]
    shown = set()
    for kept in (BENCHMARKS / "results").glob("nvidia_*.json"):
        page = kept.with_suffix(".md").read_text()
        assert page == tables.pages(json.loads(kept.read_text())["runs"])
        shown |= set(re.findall(r"[\d.]+", page))
    measured = set(re.findall(r"([\d.]+) (?:ms|us|[GT]B/s|TFLOP/s|times|in TF32|in bfloat16)", readme))
    assert len(measured) > 15
    assert measured - shown == set()
    assert {"8.78"} - shown == {"8.78"}  # control: a number that was not measured
