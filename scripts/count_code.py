"""Counts lines of code per package: blank lines, comments and docstrings are left out."""

from __future__ import annotations

import argparse
import ast
import tokenize
from collections import Counter
from pathlib import Path

IGNORED = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}


def code_lines(path: Path) -> int:
    """Lines of a file that hold code."""
    tree = ast.parse(path.read_text())
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, documented) and ast.get_docstring(node) is not None:
            first = node.body[0]
            docstrings.update(range(first.lineno, (first.end_lineno or first.lineno) + 1))
    with path.open("rb") as file:
        held: set[int] = set()
        for token in tokenize.tokenize(file.readline):
            if token.type not in IGNORED and token.type != tokenize.ENCODING:
                held.update(range(token.start[0], token.end[0] + 1))
    return len(held - docstrings)


def main(root: Path) -> None:
    """Prints a table: package, files, lines of code, longest file."""
    counts, files = Counter[str](), Counter[str]()
    longest: dict[str, tuple[int, str]] = {}
    for path in sorted(root.rglob("*.py")):
        package = str(path.parent.relative_to(root.parent))
        counts[package] += code_lines(path)
        files[package] += 1
        length = len(path.read_text().splitlines())
        longest[package] = max(longest.get(package, (0, "")), (length, path.name))
    for package in sorted(counts):
        length, name = longest[package]
        print(
            f"{package:40} {files[package]:4} files {counts[package]:6} lines of code, longest {name} ({length} in all)"
        )
    print(f"{'together':40} {sum(files.values()):4} files {sum(counts.values()):6} lines of code")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default="shiftjax", help="(default: %(default)s)")
    main(parser.parse_args().folder)
