"""How long do U-Nets take, forward and training, beside their twins in PyTorch on the same card, and at what limit?

PyTorch runs eagerly with cuDNN's search for the best algorithm, channels last, and in float32 also channels first: the
faster one counts. Calls are queued as in training, and waited for at the end of a turn.
"""

from __future__ import annotations

import time
from collections.abc import Callable
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
from _accelerator.work import flops

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
ORDER = [  # what matters most comes first: a GPU's compiler tries cuDNN's algorithms for 30 to 90 seconds a case
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
    """Rows for each network and precision."""
    cases = TINY if session.tiny else CASES
    for name, precision in [(name, "float32") for name in cases] if session.tiny else ORDER:
        session.need(0 if session.tiny else 10)
        with session.attempt(f"{name}, {precision}"):
            _rows(session, name, cases[name], Run(precision))


def measure_torch_compile(session: Session) -> None:
    """The same for PyTorch's compiler, on the network in which it is of most interest."""
    name = next(iter(TINY)) if session.tiny else WIDE
    case = (TINY | CASES)[name]
    with session.attempt(f"{name}, torch.compile"):
        _rows(session, name, case, Run("float32" if session.tiny else "bfloat16", compile_torch=True))


class Run(NamedTuple):
    """How a network is run."""

    precision: str
    compile_torch: bool = False


class Subject(NamedTuple):
    """A network with weights and images, on the device."""

    net: sj.UNet
    variables: Any
    image: Any

    @classmethod
    def of(cls, case: Case, run: Run) -> Subject:
        net = sj.UNet(3, **case.options, dtype=dtype(run.precision))
        shape = (case.batch, *(case.size,) * net.ndim, 1)
        image = jnp.asarray(np.random.default_rng(0).normal(size=shape), jnp.float32)
        return cls(net, jax.device_put(drawn_variables(net)), image)

    def kinds(self) -> dict[str, Callable[..., Any]]:
        """The functions of variables and images that are timed."""
        apply: Callable[..., Any] = self.net.apply

        def loss(variables: Any, x: Any) -> Any:
            return jnp.sum(apply(variables, x).astype(jnp.float32) ** 2)

        return {"forward": apply, "training": jax.grad(loss)}


class Twin(NamedTuple):
    """Calls by kind, the difference of the outputs, and the seconds until both kinds had run once."""

    calls: dict[str, Callable[[], Any]]
    error: float
    seconds: float


Twins = dict[str, Twin]


def _rows(session: Session, name: str, case: Case, run: Run) -> None:
    net, variables, x = subject = Subject.of(case, run)
    forward = flops(net.apply, variables, x)
    work = {"forward": forward, "training": 3 * forward}  # two more products for each of the forward pass
    limit = session.machine.get("limits", {}).get(run.precision, float("nan"))
    calls = {}
    for kind, fn in subject.kinds().items():
        with jax.default_matmul_precision(PRECISIONS[run.precision]):
            program, seconds = compiled(fn, variables, x)
        calls[kind] = of_jax(partial(program, variables, x))
        alone = seconds_per_call({kind: calls[kind]})[kind]
        session.row(
            network=name,
            precision=run.precision,
            kind=kind,
            **{
                "JAX ms": 1e3 * alone,
                "GFLOP": work[kind] / 1e9,
                "of the FLOP limit": work[kind] / alone / limit,
                "compiled in s": seconds,
            },
        )
    output = np.asarray(calls["forward"][0]()).astype(np.float32)
    twins = _twins(session, net, variables, np.asarray(x), output, run)
    for kind in calls if twins else ():
        both = {"JAX": calls[kind]} | {layout: (twin.calls[kind], _wait) for layout, twin in twins.items()}
        taken = seconds_per_call(both)
        best = min(twins, key=lambda layout: taken[layout])
        session.row(
            network=name,
            precision=run.precision,
            kind=kind,
            **{
                "JAX ms": 1e3 * taken["JAX"],
                "torch ms": 1e3 * taken[best],
                "torch/JAX": taken[best] / taken["JAX"],
                "torch": best + ", compiled" * run.compile_torch,
                "torch begun in s": twins[best].seconds,
                "difference": twins[best].error,
            },
        )


def _twins(session: Session, net: sj.UNet, variables: Any, image: np.ndarray, output: np.ndarray, run: Run) -> Twins:
    """For each memory layout the calls of the twin, and how far its output is from ours.

    There are none where there is no PyTorch for this device.
    """
    try:
        import torch
        from _unet_twin import channels_last, parameters, to_torch, training_step, twin
    except ImportError as missing:
        session.note(f"no torch here: {missing}")
        return {}
    device = "cpu" if jax.default_backend() == "cpu" else "cuda"
    if device == "cuda" and not torch.cuda.is_available():
        session.note("torch sees no GPU")
        return {}
    torch.cuda.empty_cache()  # of the network before
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = run.precision == "TF32"
    apply = twin(net, image.shape[1:-1])
    if run.compile_torch:
        apply = torch.compile(apply)

    def calls(layout: Any) -> dict[str, Callable[[], Any]]:
        params, x = parameters(variables["params"], layout, device), to_torch(image, layout, device)

        def forward() -> Any:
            with torch.no_grad(), torch.autocast(device, torch.bfloat16, enabled=run.precision == "bfloat16"):
                return apply(params, x)

        def training() -> None:
            with torch.autocast(device, torch.bfloat16, enabled=run.precision == "bfloat16"):
                training_step(apply, params, x)

        return {"forward": forward, "training": training}

    layouts = {"channels last": channels_last(net)}
    if device == "cuda" and run.precision == "float32":  # cuDNN's kernels for it may be those of the other layout
        layouts["channels first"] = torch.contiguous_format
    twins = {}
    for name, layout in layouts.items():
        start = time.perf_counter()
        kinds = calls(layout)
        theirs = np.moveaxis(kinds["forward"]().float().cpu().numpy(), 1, -1)
        kinds["training"]()
        error = float(np.sqrt(np.mean((theirs - output) ** 2)) / np.std(output))
        if not error < LOOSE[run.precision]:
            raise AssertionError(f"the twin computes another function: it differs by {error:.2g}")
        twins[name] = Twin(kinds, error, time.perf_counter() - start)
    return twins


def _wait(_: Any) -> None:
    """For PyTorch on a GPU; on a CPU it has waited."""
    import torch

    if jax.default_backend() != "cpu":
        torch.cuda.synchronize()
