"""How long do U-Nets take, forward and training, beside their twins in PyTorch on the same card, and at what limit?

PyTorch runs eagerly, channels last, with cuDNN's search for the best algorithm; the last rows are of `torch.compile`.
Calls are queued as in training, and waited for at the end of a turn.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from _variables import drawn_variables

import shiftjax as sj
from _accelerator.limits import PRECISIONS, dtype
from _accelerator.session import Session
from _accelerator.timing import compiled, of_jax, seconds_per_call

LOOSE = {"float32": 1e-3, "TF32": 3e-2, "bfloat16": 2e-1}  # root mean square difference of twins, over the spread
VOLUME = {"factors": (2, 2, 2), "ndim": 3, "crop": None}


class Case(NamedTuple):
    """A network and its images."""

    options: dict[str, Any]
    size: int
    batch: int


CASES = {
    "2-D, l=4, 16 features, 236^2": Case({"features": 16, "crop": None}, 236, 1),
    "2-D, l=4, 64 features, 16 x 236^2": Case({"features": 64, "crop": None}, 236, 16),
    "3-D, l=3, 8 features, 92^3": Case({"features": 8, **VOLUME}, 92, 1),
    "3-D, l=3, 32 features, 92^3": Case({"features": 32, **VOLUME}, 92, 1),
}
TINY = {
    "2-D, l=2, 4 features, 2 x 44^2": Case({"features": 4, "factors": (2, 2), "crop": None}, 44, 2),
    "3-D, l=1, 2 features, 20^3": Case({"features": 2, "factors": (2,), "ndim": 3, "crop": None}, 20, 1),
}
NARROW, WIDE, VOLUMES, WIDE_VOLUMES = CASES
ORDER = [  # what matters most comes first, since time may run out
    (NARROW, "float32"),
    (WIDE, "bfloat16"),
    (WIDE, "float32"),
    (WIDE_VOLUMES, "bfloat16"),
    (WIDE_VOLUMES, "float32"),
    (WIDE, "TF32"),
    (NARROW, "bfloat16"),
    (VOLUMES, "float32"),
    (WIDE_VOLUMES, "TF32"),
    (NARROW, "TF32"),
    (VOLUMES, "bfloat16"),
    (VOLUMES, "TF32"),
]


def measure(session: Session) -> None:
    """Two rows for each network and precision."""
    cases = TINY if session.tiny else CASES
    slowest = 0.0
    for name, precision in [(name, "float32") for name in cases] if session.tiny else ORDER:
        session.need(slowest)
        start = time.monotonic()
        with session.attempt(f"{name}, {precision}"):
            _rows(session, name, cases[name], precision)
        slowest = max(slowest, time.monotonic() - start)


def measure_torch_compile(session: Session) -> None:
    """The same for PyTorch's compiler, on the two networks in which it is of most interest."""
    cases = {name: TINY[name] for name in list(TINY)[:1]} if session.tiny else {n: CASES[n] for n in (NARROW, WIDE)}
    for name, case in cases.items():
        with session.attempt(f"{name}, torch.compile"):
            _rows(session, name, case, "float32" if session.tiny else "bfloat16", compile_torch=True)


def _rows(session: Session, name: str, case: Case, precision: str, *, compile_torch: bool = False) -> None:
    net = sj.UNet(3, **case.options, dtype=dtype(precision))
    rng = np.random.default_rng(0)
    image = rng.normal(size=(case.batch, *(case.size,) * net.ndim, 1)).astype(np.float32)
    x = jnp.asarray(image)
    variables = jax.device_put(drawn_variables(net))
    apply: Callable[..., Any] = net.apply

    def loss(variables: Any, x: Any) -> Any:
        return jnp.sum(apply(variables, x).astype(jnp.float32) ** 2)

    with jax.default_matmul_precision(PRECISIONS[precision]):
        flops = jax.jit(apply).lower(variables, x).cost_analysis()["flops"]
        programs = {"forward": compiled(apply, variables, x), "training": compiled(jax.grad(loss), variables, x)}
    output = np.asarray(programs["forward"][0](variables, x)).astype(np.float32)
    start = time.perf_counter()
    twins, error = _twins(session, net, variables, image, output, precision, compile_torch)
    first = time.perf_counter() - start
    limit = session.machine.get("limits", {}).get(precision, float("nan"))
    for kind, (program, seconds) in programs.items():
        calls = {"jax": of_jax(partial(program, variables, x))}
        if kind in twins:
            calls["torch"] = twins[kind]
        taken = seconds_per_call(calls)
        work = flops if kind == "forward" else 3 * flops  # two more products for each of the forward pass
        session.row(
            network=name,
            precision=precision,
            kind=kind,
            **{
                "JAX ms": 1e3 * taken["jax"],
                "torch ms": 1e3 * taken.get("torch", float("nan")),
                "torch/JAX": taken.get("torch", float("nan")) / taken["jax"],
                "of the FLOP limit": work / taken["jax"] / limit,
                "compiled in s": seconds,
                "torch begun in s": first,
                "torch": "compiled" if compile_torch else "eager",
                "difference": error,
            },
        )


def _twins(
    session: Session,
    net: sj.UNet,
    variables: Any,
    image: np.ndarray,
    output: np.ndarray,
    precision: str,
    compile_torch: bool,
) -> tuple[dict[str, tuple[Callable[[], Any], Callable[[Any], Any]]], float]:
    """The calls of the twin, and how far its output is from ours; none where there is no PyTorch for this device."""
    try:
        import torch
        from _unet_twin import apply, parameters, to_torch, training_step
    except ImportError as error:
        session.note(f"no torch here: {error}")
        return {}, float("nan")
    device = "cpu" if jax.default_backend() == "cpu" else "cuda"
    if device == "cuda" and not torch.cuda.is_available():
        session.note("torch sees no GPU")
        return {}, float("nan")
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = precision == "TF32"
    params, x = parameters(net, variables["params"], device), to_torch(net, image, device)

    @contextmanager
    def arithmetic() -> Iterator[None]:
        with torch.autocast(device, torch.bfloat16, enabled=precision == "bfloat16"):
            yield

    run: Callable[..., Any] = partial(apply, net)
    if compile_torch:
        run = torch.compile(run)

    def forward() -> Any:
        with torch.no_grad(), arithmetic():
            return run(params, x)

    def training() -> None:
        with arithmetic():
            training_step(run, params, x)

    def wait(_: Any) -> None:
        if device == "cuda":
            torch.cuda.synchronize()

    theirs = np.moveaxis(forward().float().cpu().numpy(), 1, -1)
    error = float(np.sqrt(np.mean((theirs - output) ** 2)) / np.std(output))
    if not error < LOOSE[precision]:
        raise AssertionError(f"the twin computes another function: it differs by {error:.2g}")
    training()
    return {"forward": (forward, wait), "training": (training, wait)}, error
