"""The command line of `scripts/reproduce_paper.py`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from shiftjax._cli.train_synthetic import count, exit_code, require_training
from shiftjax._experiments.reproduction.claims import BEYOND, NAMES, PAPER
from shiftjax._experiments.reproduction.whole_run import reproduce
from shiftjax._experiments.settings import EXPERIMENTS

GROUPS = {"paper": PAPER, "beyond": BEYOND}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit code: 0, 1 for a diverged run, 2 for bad input, 130 after Ctrl-C."""
    options = _parser().parse_args(arguments)
    return exit_code(lambda: _run(options), goes_on="continue with the same command")


def _run(options: argparse.Namespace) -> int:
    require_training()
    results = reproduce(
        options.out,
        size=options.size,
        seed=options.seed,
        replicas=options.replicas,
        steps=options.steps,
        only=[name for given in options.only for name in GROUPS.get(given, (given,))],
    )
    for row in results["rows"]:
        holds = f"holds in {row['holds']} of {row['replicas']}" if "checks" in row else "not run"
        print(f"{row['name']:30}{holds}")
    print(f"written: {options.out / 'results.md'}, {options.out / 'results.json'}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="reproduce_paper.py",
        description="The paper's experiments with several seeds, their claims as checks on numbers. The same command "
        "goes on where an interrupted one stopped.",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")
    names = f"paper (the default: {', '.join(PAPER)}), beyond ({', '.join(BEYOND)}), or some of them"
    parser.add_argument("--only", nargs="+", choices=(*GROUPS, *NAMES), default=["paper"], metavar="NAME", help=names)
    parser.add_argument("--size", choices=sorted(EXPERIMENTS), default="small", help="default: %(default)s")
    parser.add_argument("--replicas", type=count(1), default=8, help="seeds per row; default: %(default)s")
    parser.add_argument("--seed", type=count(0), default=0, help="the first of them; default: %(default)s")
    parser.add_argument("--steps", type=count(0), help="training steps, instead of each experiment's own")
    return parser
