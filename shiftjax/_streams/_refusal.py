"""What is raised where a function cannot be streamed."""

from __future__ import annotations


class NotStreamable(ValueError):
    """A function that cannot be computed step by step along an axis; the message is the reason, in words."""
