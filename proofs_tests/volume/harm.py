"""Harm that is done to a run, for tests."""

from __future__ import annotations


class Damage:
    """As a test of the input: passes all tiles, but damages a file when it is first asked."""

    def __init__(self, path):
        self.path = path

    def __call__(self, tile):
        self.path.write_bytes(b"\xff" * 20)
        return True
