"""Finding the input size whose output a wished tile fits in."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from shiftjax._checks import fail
from shiftjax.certify import Certificate, CertificationError

Certify = Callable[[tuple[int, ...]], Certificate]
ATTEMPTS = 64


def first_certificate(certify: Certify, wish: Sequence[int]) -> tuple[tuple[int, ...], Certificate]:
    """The certificate at the first spatial shape from `wish` upwards that the function takes.

    A function that refuses a size may name legal ones, as `legal` of the error it raises: per axis
    `((input, output, offset), ...)`. Otherwise all axes grow together, a pixel at a time.

    Raises:
        CertificationError: the function cannot be tiled.
        ValueError: no size up to 64 pixels above the wish is taken.
    """
    size = tuple(wish)
    for _ in range(ATTEMPTS):
        try:
            return size, certify(size)
        except CertificationError:
            raise
        except (ValueError, TypeError) as error:
            reason = error
            size = _larger(size, getattr(error, "legal", ()))
    fail("fn", f"a function that takes some input of {tuple(wish)} to {size} px", f"at each size an error ({reason})")


def _larger(size: tuple[int, ...], legal: Sequence[Sequence[tuple[int, int, int]]]) -> tuple[int, ...]:
    if not legal:
        return tuple(n + 1 for n in size)
    return tuple(
        min((taken for taken, *_ in options if taken >= n), default=n + 1)
        for n, options in zip(size, legal, strict=True)
    )


def smallest_input(
    certify: Certify, wish: Sequence[int], size: tuple[int, ...], certificate: Certificate
) -> tuple[tuple[int, ...], Certificate]:
    """From one legal `size`, the smallest legal size found in steps of the period whose exact output holds `wish`."""
    for _ in range(ATTEMPTS):
        steps = [_steps(axis, n) for axis, n in zip(certificate.axes, wish, strict=True)]
        if not any(steps):
            return size, certificate
        size = tuple(n + k * p for n, k, p in zip(size, steps, certificate.period, strict=True))
        certificate = certify(size)
    fail("tile", f"an exact output of {tuple(wish)} px at some input size", f"none up to an input of {size} px")


def _steps(axis, wish: int) -> int:
    start, stop = axis.exact
    length = max(0, stop - start)
    missing = wish - length
    if missing > 0:
        return math.ceil(missing / axis.phases)
    return -(-missing // axis.phases) if length == 0 else -((length - wish) // axis.phases)
