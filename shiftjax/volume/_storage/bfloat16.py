"""bfloat16 in Zarr v3, under the name that the format's register of extensions gives it.

zarr-python 3.1 knows no bfloat16, but lets others register data types. Stored under its registered name, an array is
read correctly by TensorStore and zarrs, and refused by readers that do not know the type. The alternative, 16-bit
integers with a remark in the attributes, would show as meaningless numbers in every viewer. Zarr v2 has no such
register, and its compressors take no bfloat16: there it can only be read.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from shiftjax._extras import require

NAME = "bfloat16"


@cache
def register() -> None:
    """Makes zarr-python read and write bfloat16; does nothing where it already does."""
    zarr_dtypes = require("zarr.dtype", "volume")
    native = np.dtype(require("ml_dtypes", "volume").bfloat16)  # comes with JAX
    try:
        zarr_dtypes.data_type_registry.match_dtype(native)
    except ValueError:
        zarr_dtypes.data_type_registry.register(NAME, _data_type(zarr_dtypes, native))


def _data_type(zarr_dtypes: Any, native: np.dtype) -> type:
    """The data type as a class; defined in a function because its base class is in an optional package."""
    errors = require("zarr.errors", "volume")  # the class moved there in zarr 3.2
    mismatch = getattr(errors, "DataTypeValidationError", None) or zarr_dtypes.DataTypeValidationError

    @dataclass(frozen=True, kw_only=True)
    class BFloat16(zarr_dtypes.Float16):
        """Two bytes like float16; little-endian, the only order in use."""

        dtype_cls = type(native)
        _zarr_v3_name = NAME
        _zarr_v2_names = (NAME,)

        @classmethod
        def from_native_dtype(cls, dtype: Any) -> Any:
            if dtype != native:
                raise mismatch(f"expected {native}, found {dtype}")
            return cls()

        def to_native_dtype(self) -> Any:
            return native

        def _check_scalar(self, data: object) -> bool:
            return isinstance(data, int | float | np.number | native.type)

    return BFloat16
