"""Files of `torch.export`, read so that nothing in them can run.

PyTorch evaluates formulas that it finds in such a file, and unpickles some of its parts. So the parts are read first,
by PyTorch's own reader: names must be names, formulas must be arithmetic, and pickles must be tensors.
"""

from __future__ import annotations

import ast
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from shiftjax._checks import fail, told
from shiftjax._extras import require
from shiftjax.translation._torch.tensors import torch

NAME = re.compile(r"[\w.:+\- ]*")  # with no way to call, to index or to begin a new statement
FREE = {"as_string", "stack_trace", "nn_module_stack", "from_node"}  # arguments and records, which are kept as texts
METADATA = {"stack_trace", "nn_module_stack", "from_node", "torch_fn"}
TARGETS = ("torch.ops.aten.", "_operator.", "math.", "torch.ops.higher_order.wrap_with_set_grad_enabled")
NODES = (
    ast.Expression, ast.Compare, ast.BoolOp, ast.BinOp, ast.UnaryOp, ast.Constant, ast.Name, ast.Load, ast.Call,
    ast.keyword, ast.cmpop, ast.boolop, ast.operator, ast.unaryop,
)  # fmt: skip
FORMULAS = {  # of sizes
    *("Symbol", "Integer", "Rational", "Float", "Add", "Mul", "Pow", "Max", "Min", "Mod", "FloorDiv", "PythonMod"),
    *(
        "CleanDiv",
        "CeilDiv",
        "ModularIndexing",
        "Equality",
        "Unequality",
        "Eq",
        "Ne",
        "And",
        "Or",
        "Not",
        "StrictLessThan",
    ),
    *(
        "LessThan",
        "StrictGreaterThan",
        "GreaterThan",
        "ToFloat",
        "IntTrueDiv",
        "FloatTrueDiv",
        "TruncToInt",
        "Identity",
    ),
}
METHODS = {"size", "stride", "storage_offset"}  # of a tensor, in the conditions on sizes


def load(path: Path) -> Any:
    """The exported program of a .pt2 file.

    Raises:
        ValueError: it is none, or one that could run code.
    """
    package = require("torch.export.pt2_archive._package", "torch")
    found: Any = None
    try:
        data = path.read_bytes()  # once: what is read and what is loaded must be the same
        reason = next(_unsafe(package.PT2ArchiveReader(io.BytesIO(data))), "")
        if not reason:
            found = package.load_pt2(io.BytesIO(data)).exported_programs["model"]
    except Exception as error:  # whatever PyTorch makes of a damaged file
        fail("path", "a file that `torch.export.save` wrote", f"{str(path)!r} ({told(error)})")
    if reason:
        mend = "export the module anew, or give it to `from_torch`"
        fail("path", "a .pt2 file of tensors, names and arithmetic", f"{reason} in {str(path)!r}", mend)
    return found


def _unsafe(reader: Any) -> Iterator[str]:
    """What in an archive could run code."""
    for name in reader.get_file_names():
        if name.startswith("data/aotinductor/"):
            yield f"compiled code, {name!r},"
        elif name.endswith("_config.json"):
            payloads = json.loads(reader.read_bytes(name))["config"].values()
            for payload in payloads:
                if not re.fullmatch(r"(weight|tensor)_\d+", payload["path_name"]):
                    yield f"an object that is no tensor, {payload['path_name']!r},"
                elif payload.get("use_pickle") and not _of_tensors(reader.read_bytes(_beside(name, payload))):
                    yield f"a pickle, {payload['path_name']!r},"
        elif name.endswith(".json"):
            yield from _unsafe_text(json.loads(reader.read_bytes(name)), "")
        elif name.endswith(".pt") and not _of_tensors(reader.read_bytes(name)):
            yield f"a pickle, {name!r},"


def _beside(config: str, payload: dict[str, Any]) -> str:
    return f"{config.rpartition('/')[0]}/{payload['path_name']}"


def _of_tensors(data: bytes) -> bool:
    """Whether a pickle holds nothing but tensors."""
    try:
        torch().load(io.BytesIO(data), weights_only=True)
    except Exception:  # what it would run is not looked at
        return not data
    return True


def _unsafe_text(value: Any, key: str) -> Iterator[str]:
    """Texts of a program that are neither names nor arithmetic."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if not NAME.fullmatch(name) or (key == "metadata" and name not in METADATA):
                yield f"the name {name[:40]!r}"
            yield from _unsafe_text(inner, name)
    elif isinstance(value, list):
        for inner in value:
            yield from _unsafe_text(inner, key)
    elif isinstance(value, str) and not _harmless(key, value):
        yield f"the text {value[:40]!r}"


def _harmless(key: str, text: str) -> bool:
    if key in FREE:
        return True
    if key == "expr_str":
        return _is_arithmetic(text, tensors=False)
    if key == "guards_code":
        return _is_arithmetic(text, tensors=True)
    if key in ("in_spec", "out_spec"):
        return _is_tree(text)
    if key == "target":
        return bool(NAME.fullmatch(text)) and text.startswith(TARGETS) and "__" not in text
    return bool(re.fullmatch(r"[\w.;]*", text) if key == "torch_fn" else NAME.fullmatch(text))


def _is_tree(text: str) -> bool:
    """How arguments are put together: nested tuples, lists and dictionaries, in JSON."""
    return not text or all(bool(NAME.fullmatch(str(part))) for part in _strings(json.loads(text)))


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from _strings(json.loads(inner) if key == "context" and isinstance(inner, str) else inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _strings(inner)
    elif isinstance(value, str):
        yield value


def _is_arithmetic(text: str, *, tensors: bool) -> bool:
    """Whether a formula is made of numbers, symbols, known functions and, where tensors may occur, their sizes."""
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except SyntaxError:
        return False
    of_tensors = (ast.Subscript, ast.Attribute, ast.Tuple) if tensors else ()
    for node in ast.walk(tree):
        if not isinstance(node, (*NODES, *of_tensors)):
            return False
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and not re.fullmatch(r"\w*", node.value):
            return False
        if isinstance(node, ast.Attribute) and node.attr not in METHODS:
            return False
        if isinstance(node, ast.Name) and "__" in node.id:
            return False
        if isinstance(node, ast.Call) and not isinstance(node.func, ast.Attribute):
            allowed = {"max", "min"} if tensors else FORMULAS
            if not (isinstance(node.func, ast.Name) and node.func.id in allowed):
                return False
    return True
