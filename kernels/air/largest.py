"""Largest of non-negative numbers over threads of a GPU: as whole numbers their bits have the same order, so it is exact."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic


@intrinsic
def _raise_to(typing_context, pointer, index, value):
    if not isinstance(pointer, types.CPointer) or not isinstance(pointer.dtype, types.Float):
        return None
    bits = ir.IntType(pointer.dtype.bitwidth)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = builder.bitcast(builder.gep(arguments[0], [arguments[1]]), ir.PointerType(bits))
        builder.atomic_rmw("max", place, builder.bitcast(arguments[2], bits), "monotonic")
        return context.get_dummy_value()

    return types.void(pointer, index, pointer.dtype), generate


# pointer[index] = max(pointer[index], value) as one indivisible operation, for floats >= 0; NaN counts as the largest.
raise_to: Any = _raise_to
