"""Results as a page of Markdown tables.

`python benchmarks/_accelerator/tables.py benchmarks/results/NAME.json` writes NAME.md, of all runs that are kept there.
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

Row = dict[str, Any]


def page(machine: Row, parts: list[Row]) -> str:
    """The machine, and each part with its tables and remarks."""
    lines = [", ".join(f"{name} {value}" for name, value in machine.items() if not isinstance(value, dict)), ""]
    for part in parts:
        lines += [f"## {part['part']}", "", f"{part['state']}, {part['seconds']:.0f} s", "", *_tables(part["rows"])]
        lines += [f"- {note}" for note in part["notes"]] + [""] * bool(part["notes"])
    return "\n".join(lines)


def _tables(rows: list[Row]) -> list[str]:
    """A table for each run of rows with the same columns."""
    lines: list[str] = []
    columns: list[str] = []
    for row in rows:
        if list(row) != columns:
            columns = list(row)
            lines += [""] * bool(lines) + ["| " + " | ".join(columns) + " |", "|---" * len(columns) + "|"]
        lines.append("| " + " | ".join(short(value) for value in row.values()) + " |")
    return [*lines, ""] if lines else []


def short(value: Any) -> str:
    """A value of a row, in three digits where it is a fraction."""
    if not isinstance(value, float) or not math.isfinite(value):
        return str(value)
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def pages(runs: list[dict[str, Any]]) -> str:
    """A page for each of several runs on one machine, with what tells it from the others."""
    return "\n".join(f"# A run {run['run']}\n\n{page(run['machine'], run['parts'])}" for run in runs)


if __name__ == "__main__":
    kept = Path(sys.argv[1])
    kept.with_suffix(".md").write_text(pages(json.loads(kept.read_text())["runs"]))
