"""The table of claims at the end of a run, and `--claims-report=FILE.json`."""

from __future__ import annotations

import inspect
import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import pytest

from proofs_tests.support import record

CLAIMS_FOLDER = Path(__file__).parent.parent / "claims"
CLAIMS = (
    "periodic-equivariance",
    "period-is-minimal",
    "phase-operators",
    "capacity-bound",
    "capacity-reached",
    "lattice-capacity",
    "constant-image",
    "receptive-field",
    "same-padding-leaks",
    "stitching",
    "stitching-needs-the-crop",
    "phase-not-size",
    "training-window",
    "normalisation",
    "loss-zero-recovers",
    "capacity-at-most-index",
    "border-windows",
    "statistics-once",
    "streaming",
)


def claim_of(path: Path) -> str | None:
    """The claim that a test file is about."""
    name = path.stem.removeprefix("test_").replace("_", "-")
    return name if path.parent == CLAIMS_FOLDER and name in CLAIMS else None


@dataclass
class Row:
    """What this run knows about one claim."""

    statement: str = "no test of it was collected"
    tests: set[str] = field(default_factory=set)
    passed: set[str] = field(default_factory=set)
    failures: list[str] = field(default_factory=list)
    deselected: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    records: list[dict[str, Any]] = field(default_factory=list)

    def total(self, name: str) -> int:
        """The sum of this field over the records of all tests."""
        return sum(test[name] for test in self.records)

    @property
    def architectures(self) -> set[str]:
        return {name for test in self.records for name in test["architectures"]}

    @property
    def status(self) -> str:
        """A claim holds if all of its tests passed and a control was rejected, in this run."""
        if self.failures:
            return "fails"
        if not self.passed:
            return "not run"
        complete = self.tests <= self.passed and not self.deselected and self.total("controls") > 0
        return "holds" if complete and self.total("examples") > 0 else "partly run"

    def plain(self, claim: str) -> dict[str, Any]:
        """A row of the report, in JSON's types."""
        ulps = [test["ulp"] for test in self.records if test["ulp"] is not None]
        bounds = [test["bound"] for test in self.records if test["bound"] is not None]
        relu = [holds for test in self.records for holds in test["relu"]]
        return {
            "id": claim,
            "statement": self.statement,
            "examples": self.total("examples"),
            "architectures": len(self.architectures),
            "controls": self.total("controls"),
            "status": self.status,
            "seconds": round(self.seconds, 2),
            "cpu_seconds": round(self.cpu_seconds, 2),
            "compilations": self.total("compilations"),
            "compile_seconds": round(self.total("compile_seconds"), 2),
            "discarded": self.total("discarded"),
            "float_ulp": max(ulps, default=None),
            "float_bound": max(bounds, default=None),
            "relu_nets": len(relu),
            "relu_hits": sum(relu),
            "failures": self.failures,
        }


class Report:
    """Collects what the tests recorded; under xdist that of the controlling process has all of it."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.rows = {claim: Row(statement=_statement(claim)) for claim in CLAIMS}
        self.has_claims = False

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Iterator[None]:
        claim = claim_of(item.path)
        if claim is None:
            return (yield)
        written, start = record.start(), time.process_time()
        try:
            return (yield)
        finally:
            cpu = time.process_time() - start
            item.user_properties.append(("claim", {"tests": _tests(item), "cpu": cpu, **written.plain()}))

    def pytest_deselected(self, items: list[pytest.Item]) -> None:
        for item in items:
            claim = claim_of(item.path)
            if claim is not None:
                self.has_claims = True
                self.rows[claim].deselected += 1

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        claim = claim_of(self.config.rootpath / report.nodeid.partition("::")[0])
        if claim is None:
            return
        self.has_claims = True
        row, name = self.rows[claim], report.nodeid.partition("::")[2].partition("[")[0]
        row.seconds += report.duration
        if report.failed:
            row.failures.append(f"{name}: {_reason(report)}")
        if report.when == "call":
            if report.passed:
                row.passed.add(name)
            for test in _values([report], "claim"):
                row.tests |= set(test["tests"])
                row.cpu_seconds += test["cpu"]
                row.records.append(test)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Under xdist every worker collects everything, so each of them knows what was deselected."""
        for claim, count in getattr(node, "workeroutput", {}).get("deselected", {}).items():
            self.has_claims = True
            self.rows[claim].deselected = max(self.rows[claim].deselected, count)

    def pytest_sessionfinish(self) -> None:
        target = self.config.getoption("claims_report")
        if hasattr(self.config, "workerinput"):
            counts = {claim: row.deselected for claim, row in self.rows.items() if row.deselected}
            getattr(self.config, "workeroutput")["deselected"] = counts  # noqa: B009
        elif target:
            rows = [row.plain(claim) for claim, row in self.rows.items()]
            Path(target).write_text(json.dumps(rows, indent=1) + "\n")

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.has_claims:
            terminalreporter.section("claims")
            for line in table([row.plain(claim) for claim, row in self.rows.items()]):
                terminalreporter.write_line(line)
            names = {name for row in self.rows.values() for name in row.architectures}
            examples = sum(row.total("examples") for row in self.rows.values())
            discarded = sum(row.total("discarded") for row in self.rows.values())
            terminalreporter.write_line(
                f"{examples} examples of {len(names)} distinct architectures; {discarded} degenerate ones thrown away."
            )


def table(rows: list[dict[str, Any]]) -> list[str]:
    """The table for people."""
    head = ("claim", "examples", "nets", "controls rejected", "worst float error, ulp", "ReLU", "seconds", "status")
    body = [
        (
            row["id"],
            str(row["examples"]),
            str(row["architectures"]),
            str(row["controls"]),
            "-" if row["float_ulp"] is None else f"{row['float_ulp']:.1f} (bound {row['float_bound']:g})",
            f"{row['relu_hits']}/{row['relu_nets']}" if row["relu_nets"] else "-",
            f"{row['seconds']:.1f}",
            row["status"],
        )
        for row in rows
    ]
    widths = [max(len(line[k]) for line in [head, *body]) for k in range(len(head))]

    def aligned(line: tuple[str, ...]) -> str:
        cells = [text.rjust(n) for text, n in zip(line, widths, strict=True)]
        return "  ".join([line[0].ljust(widths[0]), *cells[1:-1], line[-1]])

    return [aligned(head), *map(aligned, body)]


def recorded(terminalreporter: pytest.TerminalReporter, name: str) -> list[Any]:
    """What tests recorded under this name with `record_property`, in whatever process."""
    return _values([report for outcome in terminalreporter.stats.values() for report in outcome], name)


def _values(reports: Iterable[Any], name: str) -> list[Any]:
    properties = [pair for report in reports for pair in getattr(report, "user_properties", ())]
    return [value for key, value in properties if key == name]


def _tests(item: pytest.Item) -> list[str]:
    assert isinstance(item, pytest.Function)
    return [name for name, member in vars(item.module).items() if name.startswith("test_") and callable(member)]


def _statement(claim: str) -> str:
    """The first paragraph of the file's docstring; the file is not imported for it."""
    path = CLAIMS_FOLDER / f"test_{claim.replace('-', '_')}.py"
    if not path.exists():
        return "no test of it exists"
    text = path.read_text().split('"""')[1]
    return " ".join(inspect.cleandoc(text).split("\n\n")[0].split())


def _reason(report: pytest.TestReport) -> str:
    crash = getattr(report.longrepr, "reprcrash", None)
    lines = (crash.message if crash else str(report.longrepr)).strip().splitlines()
    return lines[0] if lines else "failed"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds `--claims-report`."""
    parser.getgroup("claims").addoption("--claims-report", metavar="FILE.json", help="write the table of claims there")


def pytest_configure(config: pytest.Config) -> None:
    """Starts the report."""
    config.pluginmanager.register(Report(config), "claims")
    jax.monitoring.register_event_duration_secs_listener(record.count_compilation)
