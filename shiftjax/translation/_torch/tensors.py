"""Between PyTorch's tensors and arrays."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from shiftjax._extras import require

NAMES = ("bool", "uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32", "float64")
WIDE = ("int64", "float64")  # types that JAX has only where it is told so


def torch() -> Any:
    """PyTorch, loaded now."""
    return require("torch", "torch")


def dtype_of(torch_dtype: Any) -> np.dtype | None:
    """PyTorch's type of numbers as NumPy's; None for one that JAX does not have (quantized, complex)."""
    name = str(torch_dtype).removeprefix("torch.")
    return jnp.dtype(name) if name in NAMES else None


def torch_dtype(dtype: Any) -> Any:
    """NumPy's type of numbers as PyTorch's."""
    name = str(jnp.dtype(dtype))
    return getattr(torch(), name, None)


def narrowed(dtype: np.dtype) -> bool:
    """Whether JAX would take fewer bits for such numbers, as it is set."""
    return jax.dtypes.canonicalize_dtype(dtype) != dtype


def autocast_type(device: str) -> str:
    """The type that PyTorch casts to on a device, by name, as its user has set it now; empty where it does not."""
    if not torch().is_autocast_enabled(device):
        return ""
    return str(torch().get_autocast_dtype(device)).removeprefix("torch.")


def to_numpy(tensor: Any) -> np.ndarray:
    """A copy on the host."""
    host = tensor.detach().to("cpu").contiguous()
    if str(host.dtype) == "torch.bfloat16":  # which NumPy has by another package
        return host.view(torch().int16).numpy().view(jnp.bfloat16).copy()
    return host.numpy().copy()


def to_torch(array: np.ndarray) -> Any:
    """A tensor that shares the array's memory."""
    if array.dtype == jnp.bfloat16:
        return torch().from_numpy(array.view(np.int16)).view(torch().bfloat16)
    return torch().from_numpy(array)
