"""Refusals of a translation, which stop a proof as the certifier's own do."""

from __future__ import annotations

from shiftjax.certifier import CertificationError


class TranslationError(CertificationError):
    """What is raised where a network of another library has no translation.

    Attributes:
        operation: of the other library, as it calls it.
        source: "file:line" of the user's module; "unknown" where the other library kept none.
        reason: what is wrong with it.
        advice: what to do instead.
    """

    def __init__(self, operation: str, source: str, reason: str, advice: str) -> None:
        super().__init__(operation, source, reason, advice)

    @property
    def operation(self) -> str:
        """The operation of the other library."""
        return self.primitive
