"""The pages for people name files that exist, link to pages that exist, and show code that fits the library."""

from __future__ import annotations

import ast
import re
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
EXAMPLES = [textwrap.dedent(block) for block in re.findall(r"```python\n(.*?)```", CONTRIBUTING, re.DOTALL)]
INVENTED = {"shiftjax/volume/_sources/npy.py", "proofs_tests/claims/test_batch_stays_apart.py"}  # of the examples


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    targets = re.findall(r"\]\(([^)\s]+)\)", page.read_text())
    local = [target.partition("#") for target in targets if not target.startswith("https://")]
    assert [path for path, _, _ in local if path and not (page.parent / path).exists()] == []
    headings = {
        re.sub(r"[^a-z0-9 -]", "", line.lstrip("# ").lower()).replace(" ", "-")
        for line in page.read_text().splitlines()
        if line.startswith("#")
    }
    assert [anchor for path, _, anchor in local if not path and anchor not in headings] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_are_named_exist(page):
    """By their path from the root, or from `shiftjax/`."""
    named = set(re.findall(r"`([\w./]+/[\w.]+\.(?:py|md|yml|toml)|\w+\.py)`", page.read_text())) - INVENTED
    assert sorted(name for name in named if not any((ROOT / at / name).exists() for at in (".", "shiftjax"))) == []


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.splitlines()[0][:40])
def test_examples_of_contributing_fit(example):
    """They parse, what they import exists, and they are short."""
    tree = ast.parse(example)
    exec(compile(ast.Module([node for node in tree.body if isinstance(node, ast.ImportFrom)], []), "page", "exec"), {})
    assert len(example.splitlines()) <= 32
