"""Finding the smallest input size whose exact output holds a wished tile, by asking the certifier at other sizes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from shiftjax._arithmetic import ceil_div
from shiftjax._checks import told
from shiftjax.certifier import Certificate, CertificationError
from shiftjax.tiling._geometry.exact_window import LayoutError, Window, windows

Sizes = tuple[int, ...]
Certify = Callable[[Sizes], Certificate]
PROBE = {1: 512, 2: 256, 3: 96}  # input pixels per axis that a function is first tried with, by the number of axes
STEPS = 64  # sizes tried upwards from each start
REFUSALS = 3  # starts at which the certifier may refuse; a small input often leaves nothing to prove
GRID = 4  # sizes tried, whole periods apart, for one at which the function is the same map as for the image
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
                certificate = certify(size)
                windows(certificate)
                return size, certificate
            except (CertificationError, LayoutError) as error:
                refusals.append(error)
                break
            except Exception as error:  # whatever the function raises where it does not take a size
                reason = told(error)
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
        min((legal_input for legal_input, *_ in options if legal_input >= n), default=n + 1)
        for n, options in zip(size, legal, strict=True)
    )


def on_the_grid_of(certify: Certify, image: Sizes, near: Sizes) -> tuple[Sizes, Certificate] | None:
    """A size about as large as `near` at which the function is the same map as for the image itself.

    Where skip crops, padding or pooling depend on the size, that is not so at every size that the function takes. At
    sizes that differ from the image's by whole periods it mostly is; tiles then show what the user sees of the image.

    Returns:
        The size, whole periods from the image's, and the certificate there; None where the function does not take the
        image, or is another map at all such sizes that are tried.
    """
    try:
        whole = certify(image)
        period = [window.period for window in windows(whole)]
    except Exception:  # whatever the function raises where it does not take a size
        return None
    for more in range(GRID):
        size = tuple(n + (ceil_div(m - n, p) + more) * p for n, m, p in zip(image, near, period, strict=True))
        try:
            certificate = certify(size)
            if min(window.width for window in windows(certificate)) > 0 and certificate.same_map(whole):
                return size, certificate
        except Exception:  # not this one
            continue
    return None


def least_overhead(certify: Certify, size: Sizes, certificate: Certificate) -> tuple[Sizes, Certificate]:
    """Of the sizes within a period above `size`, for each axis the one that reads least for whole periods of output.

    A function may take sizes of several residues modulo its period, of which some deliver more of what they compute.
    Mostly it takes the multiples of some part of the period, and delivers all but a border of one width at each of
    them: a few residues show whether that is so, and then which size is best.
    """
    exact = windows(certificate)
    period = max(window.period for window in exact)
    taken: dict[int, tuple[Window, ...]] = {0: exact}
    parts = [period // 2**k for k in range(1, period.bit_length())]

    def look(step: int) -> None:
        try:
            others = windows(certify(tuple(n + step for n in size)))
        except Exception:  # the function does not take this size
            return
        if all(a.period == b.period for a, b in zip(exact, others, strict=True)):
            taken[step] = others

    for step in [*parts[:1], *reversed(parts)]:
        if step not in taken:
            look(step)
        if len(taken) == 3:
            break
    borders = {tuple(window.size - window.width for window in each) for each in taken.values()}
    if len(taken) == 1 or (len(taken) == 3 and 1 in taken and len(borders) == 1):
        return _if_taken(certify, tuple(w.size + -w.width % w.period for w in exact), size, certificate)
    for step in range(1, min(RESIDUES, period)):
        if step not in taken:
            look(step)
    leanest = tuple(min((w.overhead, w.size) for w in along)[1] for along in zip(*taken.values(), strict=True))
    return _if_taken(certify, leanest, size, certificate)


def _if_taken(certify: Certify, wish: Sizes, size: Sizes, certificate: Certificate) -> tuple[Sizes, Certificate]:
    """A wished size and the certificate there; the size from before where the function does not take the wished one.

    Its axes were chosen one by one, and the function need not take them together.
    """
    if wish == size:
        return size, certificate
    try:
        return wish, certify(wish)
    except Exception:  # the function need not take these sizes together
        return size, certificate


def smallest_input(
    certify: Certify, wish: Sequence[int], size: Sizes, certificate: Certificate
) -> tuple[Sizes, Certificate]:
    """From one legal `size`, the smallest legal size found in steps of the period whose exact output holds `wish`."""
    for _ in range(STEPS):
        exact = windows(certificate)
        # Periods to add to the input, or to take off, for the smallest exact output of at least `wish` pixels.
        steps = [ceil_div(n - window.width, window.period) for window, n in zip(exact, wish, strict=True)]
        if not any(steps):
            return size, certificate
        stepped = _stepped(certify, size, steps, [window.period for window in exact])
        if stepped is None:
            return size, certificate  # it takes no smaller input, so tiles read more than they need
        size, certificate = stepped
    raise ValueError(f"`tile`: expected an exact output of {tuple(wish)} px at some input, found none up to {size} px")


def _stepped(certify: Certify, size: Sizes, steps: list[int], period: list[int]) -> tuple[Sizes, Certificate] | None:
    """The size so many periods larger or smaller; where none so small is taken, half as many smaller, and so on."""
    while any(steps):
        target = tuple(n + k * p for n, k, p in zip(size, steps, period, strict=True))
        try:
            certificate = certify(target)
            windows(certificate)
            return target, certificate
        except Exception as error:  # whatever the function raises where it does not take a size
            if max(steps) > 0 and isinstance(error, CertificationError):
                raise
            if max(steps) > 0:
                raise ValueError(
                    f"`fn`: expected a function that, as it takes {size} px, also takes {target} px for this tile; "
                    f"found an error ({told(error)})"
                ) from error
            steps = [ceil_div(k, 2) for k in steps]  # halves, rounded towards 0
    return None
