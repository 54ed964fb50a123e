"""How many examples per second does each claim of `pytest proofs_tests/claims` reach, and what takes the time?

One process, no parallel tests, so that the seconds are those of little more than one core (XLA compiles in threads). An
architecture costs a fraction of a second to trace and compile, once per shape of its images; everything else about it
runs in milliseconds. So claims that examine many cases of one network in one shape (shifts, lattices, pixels) are fast,
those that need two shapes of each (a tile and a whole image) are slow, and those without networks are fastest.

`--cache` runs twice with JAX's persistent compilation cache and the derandomised profile, which draws the same networks
each time: what the second run saves is what a cache could save in CI.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


def run(profile: str, report: Path, environment: dict[str, str]) -> list[dict[str, Any]]:
    """The rows of the claims' report."""
    command = [sys.executable, "-m", "pytest", "proofs_tests/claims", "-q", "-n0", f"--hypothesis-profile={profile}"]
    done = subprocess.run([*command, f"--claims-report={report}"], cwd=ROOT, env={**os.environ, **environment})
    if done.returncode:
        sys.exit("a claim fails: mend it before measuring")
    return json.loads(report.read_text())


def show(rows: list[dict[str, Any]]) -> None:
    head = f"{'claim':26}{'examples':>9}{'nets':>6}{'CPU s':>8}{'per CPU s':>11}{'compilations':>14}{'s compiling':>13}"
    print(head)
    for row in rows:
        rate = row["examples"] / max(row["cpu_seconds"], 1e-9)
        print(
            f"{row['id']:26}{row['examples']:9}{row['architectures']:6}{row['cpu_seconds']:8.1f}{rate:11.1f}"
            f"{row['compilations']:14}{row['compile_seconds']:13.1f}"
        )
    names = ("examples", "cpu_seconds", "compilations", "compile_seconds")
    total = {name: sum(row[name] for row in rows) for name in names}
    print(
        f"{'all':26}{total['examples']:9}{'':6}{total['cpu_seconds']:8.1f}"
        f"{total['examples'] / total['cpu_seconds']:11.1f}{total['compilations']:14}{total['compile_seconds']:13.1f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", default="ci", choices=["default", "ci", "deep"])
    parser.add_argument("--cache", action="store_true", help="measure what a persistent compilation cache saves")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "claims.json"
        if not options.cache:
            show(run(options.profile, report, {}))
            return
        cached = {
            "JAX_COMPILATION_CACHE_DIR": f"{folder}/xla",
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        }
        first, second = (run("ci", report, cached) for _ in range(2))
        for title, rows in (("with an empty cache", first), ("with a filled one", second)):
            print(f"\n{title}")
            show(rows)


if __name__ == "__main__":
    main()
