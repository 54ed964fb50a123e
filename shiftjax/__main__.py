"""`python -m shiftjax COMMAND ...`: each command is a module with `arguments(parser)` and `run(options) -> int`."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

from shiftjax._cli.network import UsageError, one_line

INTERRUPTED = 130  # as shells have it
ABOUT = (
    "Labels objects in images of any size, predicts volumes by exact tiles, and proves how networks tile. "
    "`python -m shiftjax COMMAND --help` says what a command takes."
)
COMMANDS = {
    "train": ("shiftjax._cli.train", "train a network on labelled images, for images like them"),
    "label": ("shiftjax._cli.label", "label the objects of images with a trained model"),
    "certify": ("shiftjax._cli.certify", "prove how a network tiles, or say what stops the proof"),
    "check": ("shiftjax._cli.check", "try to contradict the claims about a network, where they are not proved"),
    "plan": ("shiftjax._cli.plan", "lay out the tiles of an image or volume, and say what they cost"),
    "predict": ("shiftjax._cli.predict", "predict a volume tile by tile, from storage to storage"),
    "segment": ("shiftjax._cli.segment", "label the objects of a volume, from its embedding or its image"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns 0, 1 where the answer is no, or 2 for bad usage."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser(prog="python -m shiftjax", description=ABOUT)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (module, summary) in COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=summary)
        if name in words[:1]:  # only the chosen command is loaded: `check` brings what `predict` does not need
            importlib.import_module(module).arguments(command)
    options = parser.parse_args(words)
    try:
        return importlib.import_module(COMMANDS[options.command][0]).run(options)
    except UsageError as error:
        return _failed(options.command, str(error))
    except KeyboardInterrupt as interrupt:
        print(str(interrupt) or "stopped; the same command goes on where it was", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # nobody reads the answer
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - or Python complains when it flushes at its end
        return 1
    except (Exception, SystemExit) as error:
        own = isinstance(error, ValueError | TypeError) and str(error).startswith("`")  # says enough by itself
        return _failed(options.command, str(error) if own else one_line(error))


def _failed(command: str, text: str) -> int:
    """Says what is wrong on one line; the exit code."""
    print(f"python -m shiftjax {command}: {text}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
