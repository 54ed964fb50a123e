"""Every kind of fault is survived: once by default, a thousand faults in the deep profile, which prints the table."""

from __future__ import annotations

import numpy as np
import pytest

from proofs_tests.volume import fault_table
from proofs_tests.volume.fault_table import KINDS, Unsurvived, expect, refuses, table
from proofs_tests.volume.small import is_deep

TRIES = 34  # of 31 kinds: 1054 faults


@pytest.mark.deep
def test_fault_table():
    """`pytest proofs_tests/volume -m deep --hypothesis-profile=deep -k fault_table -s -n 0` prints it."""
    if not is_deep():
        pytest.skip("runs with --hypothesis-profile=deep")
    rows = table(TRIES)
    assert len(rows) >= 20
    assert sum(row.tries for row in rows) >= 1000
    assert [row for row in rows if row.survived < row.tries] == []


def test_control_a_wrong_result_is_not_survived(monkeypatch):
    def spoiled(world):
        expect(world.predict()[:] + 1, "predict", "because of the test")

    monkeypatch.setattr(fault_table, "KINDS", {"spoiled": spoiled, "not refused": lambda world: refuses(world.predict)})
    monkeypatch.setattr(fault_table, "small_cluster", fault_table.nobody)
    lines: list[str] = []
    rows = table(1, show=lines.append)
    assert [row.survived for row in rows] == [0, 0]
    assert "Unsurvived: wrong pixels because of the test" in lines[0]
    with pytest.raises(Unsurvived):
        expect(np.zeros(1), "predict", "at all")
    assert len(KINDS) >= 20
