"""Refusals: which operation, at which source line, stops the proof, and what to do about it."""

from __future__ import annotations


class CertificationError(ValueError):
    """What the certifier raises where it has no proof.

    Attributes:
        primitive: name of the JAX operation that stops the proof.
        source: "file:line" of the user's code that asked for it; "unknown" where JAX kept none.
        reason: what is wrong with it, with shapes.
        advice: what to do instead.
    """

    def __init__(self, primitive: str, source: str, reason: str, advice: str) -> None:
        self.primitive = primitive
        self.source = source
        self.reason = reason
        self.advice = advice
        super().__init__(f"`{primitive}` at {source}: {reason}. {advice}")

    def __reduce__(self) -> tuple[type, tuple[str, str, str, str]]:
        return type(self), (self.primitive, self.source, self.reason, self.advice)
