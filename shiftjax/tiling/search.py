"""Finding the input size whose output a wished tile fits in."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from shiftjax.certify import Certificate, CertificationError
from shiftjax.tiling.window import Window, windows

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
    size, reason = tuple(wish), ""
    for _ in range(ATTEMPTS):
        try:
            return size, certify(size)
        except CertificationError:
            raise
        except (ValueError, TypeError) as error:
            reason = str(error)
            size = _larger(size, getattr(error, "legal", ()))
    raise ValueError(f"`fn`: expected a function that takes an input of about {tuple(wish)} px, found: {reason}")


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
        found = windows(certificate)
        steps = [_steps(window, n) for window, n in zip(found, wish, strict=True)]
        if not any(steps):
            return size, certificate
        wanted = tuple(n + k * window.period for n, k, window in zip(size, steps, found, strict=True))
        try:
            size, certificate = wanted, certify(wanted)
        except CertificationError:
            raise
        except (ValueError, TypeError) as error:
            if max(steps) > 0:
                raise ValueError(
                    f"`fn`: expected a function that, as it takes {size} px, also takes {wanted} px for this tile; "
                    f"found an error ({error})"
                ) from error
            return size, certificate  # it takes no smaller input, so tiles read more than they need
    raise ValueError(f"`tile`: expected an exact output of {tuple(wish)} px at some input, found none up to {size} px")


def _steps(window: Window, wish: int) -> int:
    """Periods to add to the input (or to take off) for the smallest exact output of at least `wish` pixels."""
    return -((window.width - wish) // window.period)
