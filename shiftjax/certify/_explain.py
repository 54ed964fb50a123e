"""The certificate as a page for people."""

from __future__ import annotations

from shiftjax.certify.certificate import Certificate


def page(cert: Certificate) -> str:
    """The derivation as a table, then what it means."""
    return repr(cert)
