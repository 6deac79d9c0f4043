"""Values as they are published: whole multiples of a quantum, one zero, one NaN; exact, so that every machine agrees."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from felsina.engine.fields import Field
from felsina.engine.schema import storage_dtype


def quantise(values: ArrayLike, quantum: float, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Round to whole multiples of a quantum.

    With m = 1/quantum a whole number: k = rint(v m), result k / m; otherwise k = rint(v / quantum), result k quantum. rint
    rounds halves to even; all steps are double precision, and the last one rounds to `dtype`. quantum 0 keeps every bit.
    -0.0 becomes 0.0 and every NaN the one quiet NaN, so that equal values are equal bytes. Only operations that IEEE 754
    rounds exactly are used.

    Parameters
    ----------
    values : any shape
    quantum : step in the unit of the values, >= 0
    dtype : floating-point dtype of the result

    Returns
    -------
    A new array.

    >>> quantise([0.12345, -0.0004, 2.5], 0.001, np.dtype("f8")).tolist()
    [0.123, 0.0, 2.5]
    """
    source = np.asarray(values)
    if quantum == 0.0:
        result = np.array(source, dtype)
    else:
        v = source.astype(np.float64)
        per_unit = round(1.0 / quantum)
        if per_unit >= 1 and abs(per_unit * quantum - 1.0) < 1e-12:
            result = (np.rint(v * per_unit) / per_unit).astype(dtype)
        else:
            result = (np.rint(v / quantum) * quantum).astype(dtype)
    result += dtype.type(0.0)  # -0.0 + 0.0 is 0.0
    result[np.isnan(result)] = np.nan
    return result


def published(field: Field, values: ArrayLike, quantum: float) -> NDArray[Any]:
    """Return the values of a field as they are stored: quantised floats, checked integers, UTF-8 texts.

    Raises
    ------
    ValueError
        When an integer field is given floats, or integers that its dtype cannot hold.
    """
    source = np.asarray(values)
    if field.dtype == "str":
        return np.char.encode(source.astype(str), "utf-8") if source.size else np.zeros(source.shape, "S1")
    dtype = storage_dtype(field)
    if dtype.kind == "f":
        return quantise(np.atleast_1d(source), quantum, dtype).reshape(source.shape)
    if source.dtype.kind not in "iub":
        raise ValueError(f"'{field.name}' holds {field.dtype}; got {source.dtype}.")
    result = source.astype(dtype)
    if not np.array_equal(result, source):
        raise ValueError(f"'{field.name}' holds {field.dtype}; the values reach from {source.min()} to {source.max()}.")
    return result
