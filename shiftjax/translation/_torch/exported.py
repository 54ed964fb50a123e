"""A module as a graph of functional operations, for images of one shape and type."""

from __future__ import annotations

import io
import logging
import operator
import re
import sysconfig
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from shiftjax._checks import fail, told
from shiftjax.translation._error import TranslationError
from shiftjax.translation._torch._operations import OPERATIONS
from shiftjax.translation._torch.source import FRAME, is_torch, shown, source_of
from shiftjax.translation._torch.tensors import torch, torch_dtype

STANDARD = sysconfig.get_path("stdlib")
OF_FAKES = (  # PyTorch's words, and ours
    "found a fake tensor in the exported program",
    "the module uses a tensor that another call of it has left in a cache",
    "Make it in `__init__`, and register it as a buffer.",
)
OF_STATE = (
    (
        "is mutated in the forward method",
        "the module changes its own state, a tensor, as it runs",
        "Keep no state in `forward`.",
    ),
    OF_FAKES,
)
OF_CALLS = (  # what no image of another size changes
    (
        "missing a required argument",
        "the module takes more than one tensor",
        "Wrap it in a module whose `forward` takes the image alone.",
    ),
    (
        ".numpy() is not supported for tensor subclasses",
        "the module leaves PyTorch for NumPy as it runs",
        "Compute with tensors alone in `forward`.",
    ),
)
DECIDED_BY_PIXELS = ("GuardOnDataDependentSymNode", "DataDependentOutputException", "DynamicOutputShapeException")


@dataclass(frozen=True)
class Graph:
    """A program of functional operations.

    Attributes:
        nodes: of `torch.fx`, in order.
        state: the name of a parameter or buffer by the node that stands for it.
        constants: tensors by the node that stands for them.
        image: the node that stands for the image.
        outputs: what is returned: nodes, or plain values.
        tree: how PyTorch's pytrees put the outputs together.
    """

    nodes: tuple[Any, ...]
    state: dict[str, str]
    constants: dict[str, Any]
    image: str
    outputs: tuple[Any, ...]
    tree: Any


def export(module: Any, shape: tuple[int, ...], dtype: np.dtype, device: Any) -> Graph:
    """Exports a module.

    Args:
        module: takes one tensor.
        shape: `(batch, channel, *space)`.
        dtype: of the image.
        device: where the module is.

    Raises:
        TranslationError: the module does what no functional graph can say.
        ValueError: it does not take such an image.
    """
    image = torch().empty(shape, dtype=torch_dtype(dtype), device=device)
    with _quiet(torch().device(device).type):
        try:
            program = torch().export.export(module, (image,), strict=False)
            if not _functional(program):
                program = program.run_decompositions(_decompositions())
        except Exception as error:  # whatever the module raises
            _explain(error, shape, dtype)
    return _graph(program)


@contextmanager
def _quiet(device: str) -> Iterator[None]:
    """Without gradients, automatic casts and what PyTorch prints of itself, whole programs where it gives up."""
    fastpath = torch().backends.mha.get_fastpath_enabled()
    torch().backends.mha.set_fastpath_enabled(False)  # which would take operations for training and inference apart
    silenced = logging.root.manager.disable
    logging.disable(max(silenced, logging.ERROR))  # of an error whose words are told anyway it prints every frame
    try:
        with warnings.catch_warnings(), torch().no_grad(), torch().autocast(device, enabled=False):
            warnings.simplefilter("ignore")
            with redirect_stderr(io.StringIO()):
                yield
    finally:
        logging.disable(silenced)
        torch().backends.mha.set_fastpath_enabled(fastpath)


def _functional(program: Any) -> bool:
    """Whether a graph is pure and of known operations as it stands; to make it so takes longer than to export it."""
    targets = [node.target for node in program.graph.nodes if node.op == "call_function"]
    attributes = any(node.op == "get_attr" for node in program.graph.nodes)
    return not attributes and all(
        target is operator.getitem
        or (hasattr(target, "_schema") and not target._schema.is_mutable and function_of(target) is not None)
        for target in targets
    )


def function_of(target: Any) -> Callable[..., Any] | None:
    """The table's function for an operation; None for those that it does not have, and for all that are not ATen's."""
    if not str(target).startswith("aten."):
        return None
    return OPERATIONS.get(name_of(target)) or OPERATIONS.get(packet_of(target))


@cache
def _decompositions() -> Any:
    """PyTorch's table of simpler operations, without those that are translated as they are."""
    table = torch().export.default_decompositions()
    for overload in list(table):
        if function_of(overload) is not None:
            del table[overload]
    return table


def name_of(target: Any) -> str:
    """An operation with its overload, `add.Scalar`."""
    return str(target).removeprefix("aten.")


def packet_of(target: Any) -> str:
    """An operation without its overload, `add`."""
    return name_of(target).partition(".")[0]


def _graph(program: Any) -> Graph:
    """The parts of an exported program that decide its outputs."""
    kinds = {"PARAMETER": {}, "BUFFER": {}, "CONSTANT_TENSOR": {}, "USER_INPUT": {}}  # type: dict[str, dict[str, Any]]
    signature = program.graph_signature
    for spec in signature.input_specs:
        if spec.kind.name not in kinds:
            what = f"the module uses `{spec.target}`, which is no tensor"
            raise TranslationError(spec.kind.name.lower(), "unknown", what, "Give a module of tensors.")
        kinds[spec.kind.name][spec.arg.name] = spec.target
    outputs = []
    nodes = tuple(program.graph.nodes)
    returned = nodes[-1].args[0]
    for spec, value in zip(signature.output_specs, returned, strict=True):
        kind = spec.kind.name
        if kind == "USER_OUTPUT":
            outputs.append(value)
        elif kind != "USER_INPUT_MUTATION":  # which nobody sees: each call has an image of its own
            what = f"the module changes its own state, `{spec.target}`, as it runs"
            advice = "Call `module.eval()`, or keep no state in `forward`."
            raise TranslationError(kind.lower(), shown(source_of(value)), what, advice)
    if len(kinds["USER_INPUT"]) != 1:
        fail("module", "a module of one tensor", f"one of {len(kinds['USER_INPUT'])}")
    held = {**program.state_dict, **program.constants}
    return Graph(
        nodes,
        {**kinds["PARAMETER"], **kinds["BUFFER"]},
        {name: held[target] for name, target in kinds["CONSTANT_TENSOR"].items()},
        next(iter(kinds["USER_INPUT"])),
        tuple(outputs),
        program.call_spec.out_spec,
    )


def _explain(error: Exception, shape: tuple[int, ...], dtype: np.dtype) -> None:
    """Says in a sentence why there is no graph.

    Raises:
        TranslationError: for no image there would be.
        ValueError: for this image there is none.
    """
    text, kinds = str(error), {type(e).__name__ for e in _chain(error)}
    if kinds & set(DECIDED_BY_PIXELS) or "data-dependent" in text.lower():
        reason = "what the module does next is decided by the values of pixels"
        raise TranslationError(
            "if", _line(error), reason, "Decide by shapes, or compute both with `torch.where`."
        ) from error
    for operation, known in (("constant", OF_STATE), ("forward", OF_CALLS)):
        for words, reason, advice in known:
            if words in text:
                raise TranslationError(operation, _line(error), reason, advice) from error
    types = re.search(r"Input type \(\S+\) and (?:weight|bias) type \((?:c10::)?(\w+)\) should be the same", text)
    if types:
        reason = f"the module computes in {types[1].lower()}, the image is of {dtype}"
        advice = "Give an image of the module's type, as a plan does that is made with its `dtype=`."
        raise TranslationError("image", _line(error), reason, advice) from error
    channels = _channels(text)
    if channels is not None:
        reason = f"the module takes {channels} channels, the image has {shape[1]}"
        raise TranslationError("image", _line(error), reason, "Give an image `(batch, *space, channel)`.") from error
    line = _line(error)
    place = "" if line == "unknown" else f" at {line}"
    raise ValueError(f"the module does not take an image of {dtype} {shape} ({told(error)}{place})") from error


def _channels(text: str) -> int | None:
    """How many channels a module asks for, if that is what it complains of."""
    found = re.search(r"to have (\d+) channels, but got \d+ channels", text)
    return int(found[1]) if found else None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _line(error: BaseException) -> str:
    """ "file:line" of the innermost frame of the user's module that an error came through."""
    own = str(Path(__file__).parent)
    frames = []
    trace = error.__traceback__
    while trace is not None:
        frames.append((trace.tb_frame.f_code.co_filename, trace.tb_lineno))
        trace = trace.tb_next
    inside = [f for k, f in enumerate(frames) if any(is_torch(g[0]) for g in frames[:k])]
    users = [
        f
        for f in inside
        if not is_torch(f[0]) and not f[0].startswith(("<", own)) and "site-packages/sympy" not in f[0]
        if not f[0].startswith(STANDARD) or "-packages" in f[0]
    ]
    if users:
        return f"{users[-1][0]}:{users[-1][1]}"
    told_lines = [f for f in FRAME.findall(str(error)) if not is_torch(f[0]) and not f[0].startswith("<")]
    return ":".join(told_lines[-1]) if told_lines else "unknown"
