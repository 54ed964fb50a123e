"""The page of a reproduction: what results.json says, as results.md."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from shiftjax._experiments.reproduction.claims import BEYOND
from shiftjax._experiments.reproduction.notes import NOTES

SCRIPT = "python scripts/reproduce_paper.py"
HEAD = """\
# The paper, reproduced

Every experiment of the paper in {words} size, and [what it did not ask](#beyond-the-paper), with {replicas} each, or
as many as its table says: what it claims as checks on numbers, what was measured (median, and lowest and highest in
brackets), and in how many seeds a check holds. A check looks at the tile size that speaks most against it. A row holds
in a seed if all of its checks do. Figures show seed {seed}, curves all of them.

All of the paper again: `{command}`; what it did not ask: `{beyond}`. Made with {machine}.

"""
READING = """\

*Codes* counts the embeddings of whole discs that lie more than delta_dist = 3 apart, *told apart* is the share of
neighbouring discs whose embeddings do. *Seam disagreement* is how much likelier a disc is cut where tiles meet than
elsewhere (0: no likelier, 1: always), *grid disagreement* the same for any line that repeats with the tile. The *jump
at the period's lines* is that of the embedding itself, before any clustering: how much further apart neighbouring
pixels of a disc lie there than elsewhere, by the distance of two random pixels of discs.
"""
SMALL = "\nIn this size discs are 5 to 7 px across, and look square in figures.\n"


def page(results: Mapping[str, Any]) -> str:
    """results.md: a table of all rows, then each row with its checks, its command and its figure."""
    config, rows = results["run"], results["rows"]
    machine = ", ".join(f"{name} {value}" for name, value in results["machine"].items())
    seeds = f"{config['replicas']} seed{'s' * (config['replicas'] > 1)}"
    commands = {"command": _command(config), "beyond": _command(config, "beyond")}
    words = "its own" if config["size"] == "paper" else "a small"
    head = HEAD.format(**{**config, "replicas": seeds}, **commands, words=words, machine=machine)
    paper = [row for row in rows if row["name"] not in BEYOND]
    beyond = [row for row in rows if row["name"] in BEYOND]
    parts = [
        _table(paper),
        READING + (SMALL if config["size"] == "small" else ""),
        *(_section(row, config) for row in paper),
    ]
    parts += ["## Beyond the paper\n", _table(beyond), "", *(_section(row, config) for row in beyond)]
    return head + "\n".join(parts)


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    lines = ["| experiment | expected | holds in |", "|---|---|---|"]
    return "\n".join(
        lines + [f"| [{row['name']}](#{row['name']}) | {row['expected']} | {_holds(row)} |" for row in rows]
    )


def _holds(row: Mapping[str, Any]) -> str:
    return f"{row['holds']} of {row['replicas']}" if "checks" in row else "not run"


def _command(config: Mapping[str, Any], name: str | None = None) -> str:
    given = {"--only": name, "--size": config["size"] if config["size"] != "small" else None}
    given |= {"--replicas": config["replicas"], "--seed": config["seed"] or None, "--steps": config["steps"]}
    return " ".join([SCRIPT, *(f"{key} {value}" for key, value in given.items() if value is not None), "--out DIR"])


def _section(row: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    name = row["name"]
    lines = [f"## {name}", "", f"Expected: {row['expected']}.", ""]
    if "checks" not in row:
        return "\n".join([*lines, f"Not run; `{_command(config, name)}`", ""])
    tiles = f", output tiles {', '.join(map(str, row['tiles']))} px" if row["tiles"] else ""
    windows = ", ".join(map(str, row["windows"]))
    lines += [f"Period {row['period']} px, training window {windows} px, {row['steps']} steps{tiles}.", ""]
    lines += ["| check | expected | measured | holds in |", "|---|---|---|---|"]
    for check in row["checks"]:
        cells = check["words"], check["expected"], measured(check["values"]), f"{check['holds']} of {row['replicas']}"
        lines.append(f"| {' | '.join(cells)} |")
    note = NOTES[config["size"]].get(name)
    lines += ["", *([note, ""] if note else []), f"`{_command(config, name)}`", "", f"![{name}]({name}.png)", ""]
    return "\n".join(lines)


def measured(values: Sequence[float]) -> str:
    """Median, lowest and highest value; how many are not defined."""
    known = [value for value in values if not math.isnan(value)]
    if not known:
        return "not defined"
    middle, low, high = (_shown(value) for value in (statistics.median(known), min(known), max(known)))
    missing = f", {len(values) - len(known)} not defined" if len(known) < len(values) else ""
    return f"{middle} ({low} to {high}){missing}" if low != high else f"{middle}{missing}"


def _shown(value: float) -> str:
    if abs(value) >= 100 or float(value).is_integer():
        return f"{value:.0f}"
    return f"{value:.2f}" if abs(value) >= 0.005 else f"{value:.0e}"
