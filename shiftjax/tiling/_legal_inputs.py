"""Finding the input size whose output a wished tile fits in."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from shiftjax.certifier import Certificate, CertificationError
from shiftjax.tiling._exact_window import LayoutError, Window, windows

Sizes = tuple[int, ...]
Certify = Callable[[Sizes], Certificate]
PROBE = {1: 512, 2: 256, 3: 96}  # input pixels per axis from which on a function is tried first
STEPS = 64  # sizes tried upwards from each start
REFUSALS = 3  # starts at which the certifier may refuse; a small input often leaves nothing to prove
RESIDUES = 16  # sizes compared within a period


def first_certificate(certify: Certify, wish: Sequence[int]) -> tuple[Sizes, Certificate]:
    """The certificate at some spatial shape that the function takes, large enough to prove something.

    A function that refuses a size may name legal ones, as `legal` of the error it raises: per axis
    `((input, output, offset), ...)`. Otherwise all axes grow together, a pixel at a time: from a size that most
    networks can use, from the wish, from twice the wish, and from a size that is enough for all.

    Raises:
        CertificationError: the function cannot be tiled.
        LayoutError: its outputs do not have the image's pixels.
        ValueError: no size that was tried is taken.
    """
    refusals: list[Exception] = []
    reason = ""
    for start in _starts(tuple(wish)):
        size = start
        for _ in range(STEPS):
            try:
                found = certify(size)
                windows(found)
                return size, found
            except (CertificationError, LayoutError) as error:
                refusals.append(error)
                break
            except Exception as error:  # whatever the function raises where it does not take a size
                reason = f"{type(error).__name__}: {error}"
                size = _larger(size, getattr(error, "legal", ()))
        if len(refusals) == REFUSALS:
            break
    if refusals:
        raise refusals[0]
    raise ValueError(
        f"`fn`: expected a function that takes an image of about {tuple(wish)} px or more, found none; {size} px, the "
        f"last that was tried, gives {reason}"
    )


def _starts(wish: Sizes) -> tuple[Sizes, ...]:
    probe = (PROBE.get(len(wish), min(PROBE.values())),) * len(wish)
    return probe, wish, tuple(2 * n for n in wish), tuple(4 * n for n in probe)


def _larger(size: Sizes, legal: Sequence[Sequence[tuple[int, int, int]]]) -> Sizes:
    if not legal:
        return tuple(n + 1 for n in size)
    return tuple(
        min((taken for taken, *_ in options if taken >= n), default=n + 1)
        for n, options in zip(size, legal, strict=True)
    )


def leanest(certify: Certify, size: Sizes, certificate: Certificate) -> tuple[Sizes, Certificate]:
    """Of the sizes within a period above `size`, per axis the one that reads least for whole periods of output."""
    found = windows(certificate)
    best = [(_excess(window), window.size) for window in found]
    for step in range(1, min(RESIDUES, max(window.period for window in found))):
        try:
            others = windows(certify(tuple(n + step for n in size)))
        except Exception:  # the function does not take this size, or is another one there
            continue
        if all(a.period == b.period for a, b in zip(found, others, strict=True)):
            best = [min(a, (_excess(window), window.size)) for a, window in zip(best, others, strict=True)]
    lean = tuple(n for _, n in best)
    try:
        return lean, certify(lean)
    except Exception:  # it takes these sizes together only
        return size, certificate


def _excess(window: Window) -> int:
    """Input pixels beyond the whole periods of output that they give."""
    return window.halo + window.width % window.period


def smallest_input(
    certify: Certify, wish: Sequence[int], size: Sizes, certificate: Certificate
) -> tuple[Sizes, Certificate]:
    """From one legal `size`, the smallest legal size found in steps of the period whose exact output holds `wish`."""
    for _ in range(STEPS):
        found = windows(certificate)
        steps = [_steps(window, n) for window, n in zip(found, wish, strict=True)]
        if not any(steps):
            return size, certificate
        taken = _stepped(certify, size, steps, [window.period for window in found])
        if taken is None:
            return size, certificate  # it takes no smaller input, so tiles read more than they need
        size, certificate = taken
    raise ValueError(f"`tile`: expected an exact output of {tuple(wish)} px at some input, found none up to {size} px")


def _stepped(certify: Certify, size: Sizes, steps: list[int], period: list[int]) -> tuple[Sizes, Certificate] | None:
    """So many periods further, or half as many where that is too small for the function."""
    while any(steps):
        wanted = tuple(n + k * p for n, k, p in zip(size, steps, period, strict=True))
        try:
            found = certify(wanted)
            windows(found)
            return wanted, found
        except Exception as error:  # whatever the function raises where it does not take a size
            if max(steps) > 0 and isinstance(error, CertificationError):
                raise
            if max(steps) > 0:
                raise ValueError(
                    f"`fn`: expected a function that, as it takes {size} px, also takes {wanted} px for this tile; "
                    f"found an error ({error})"
                ) from error
            steps = [-(-k // 2) for k in steps]
    return None


def _steps(window: Window, wish: int) -> int:
    """Periods to add to the input (or to take off) for the smallest exact output of at least `wish` pixels."""
    return -((window.width - wish) // window.period)
