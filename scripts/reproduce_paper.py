"""The paper's experiments with several seeds each: their claims as checks on numbers, in one table with figures.

Writes results.md, results.json and a figure per experiment. The same command goes on where an interrupted one stopped.
"""

from shiftjax._cli.reproduce_paper import main

if __name__ == "__main__":
    raise SystemExit(main())
