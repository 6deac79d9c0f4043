"""Arrays of the stand-in: NumPy arrays behind a wall, so that host code that touches one by mistake fails as it would on a GPU.

Whatever is done to an array is queued on a stream. What CuPy does by a kernel of its own, which it compiles at run time, is
noted in `stand_in.own_kernels`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from cupy._memory import Lease, is_pinned, pool
from cupy._state import stand_in
from cupy._streams import Stream, get_current_stream, queue_here, wait_for


class MemoryPointer:
    """Where the data of an array begins."""

    def __init__(self, ptr: int) -> None:
        self.ptr = ptr

    def __int__(self) -> int:
        return self.ptr


class ndarray:
    """An array on the device."""

    __array_priority__ = 1000
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, lease: Lease, held: np.ndarray) -> None:
        self._lease, self._held = lease, held

    def __array__(self, *_: Any, **__: Any) -> np.ndarray:
        raise TypeError(
            "Implicit conversion to a NumPy array is not allowed. Please use `.get()` to construct a NumPy array explicitly."
        )

    def __repr__(self) -> str:
        return f"<stand-in array {self.shape} {self.dtype}>"

    dtype = property(lambda self: self._held.dtype)
    shape = property(lambda self: self._held.shape)
    strides = property(lambda self: self._held.strides)
    size = property(lambda self: self._held.size)
    itemsize = property(lambda self: self._held.itemsize)
    ndim = property(lambda self: self._held.ndim)
    nbytes = property(lambda self: self._held.nbytes)
    flags = property(lambda self: self._held.flags)
    data = property(lambda self: MemoryPointer(self._held.ctypes.data))

    @property
    def device(self) -> Any:
        from cupy.cuda import Device

        return Device(self._lease.block.device)

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        # Who takes the pointer gets whatever is there now, as with a real one.
        strides = None if self._held.flags.c_contiguous else self.strides
        data = (self._held.ctypes.data, False)
        stream = get_current_stream().ptr or 1
        return {
            "shape": self.shape,
            "typestr": self.dtype.str,
            "data": data,
            "version": 3,
            "strides": strides,
            "stream": stream,
        }

    # -- copies ---------------------------------------------------------------------------------------------------------
    def get(self, stream: Stream | None = None, order: str = "C", out: np.ndarray | None = None, blocking: bool = True) -> Any:
        self._here()
        if not self._held.flags.c_contiguous:
            stand_in.own_kernels.add("copy")
        if out is None:
            out = np.empty(self.shape, self.dtype)
        elif out.dtype != self.dtype or out.shape != self.shape or not out.flags.c_contiguous:
            raise ValueError("out must be C-contiguous and of the shape and dtype of the array")
        held, queue = self._held, queue_here(stream)
        queue.add(lambda: np.copyto(out, held), self._lease.block)
        # Memory of the host that is not pinned is copied before the call returns.
        if blocking or not is_pinned(out):
            wait_for(queue, queue.last)
        return out

    def set(self, arr: np.ndarray, stream: Stream | None = None) -> None:
        self._here()
        if not isinstance(arr, np.ndarray):
            raise TypeError("Only numpy.ndarray can be set to cupy.ndarray")
        if self.dtype != arr.dtype:
            raise TypeError(f"{arr.dtype} array cannot be set to {self.dtype} array")
        if self.shape != arr.shape:
            raise ValueError(f"Shape mismatch. Old shape: {self.shape}, new shape: {arr.shape}")
        if not self._held.flags.c_contiguous:
            raise RuntimeError("Cannot set to non-contiguous array")
        # Pinned memory is read when the copy runs, other memory before the call returns.
        source, held = (arr if arr.flags.c_contiguous and is_pinned(arr) else arr.copy()), self._held
        queue_here(stream).add(lambda: np.copyto(held, source), self._lease.block)

    def copy(self) -> ndarray:
        made = empty(self.shape, self.dtype)
        held, source = made._held, self._held
        self._here().add(lambda: np.copyto(held, source), self._lease.block, made._lease.block)
        if not source.flags.c_contiguous:
            stand_in.own_kernels.add("copy")
        return made

    def fill(self, value: Any) -> None:
        held = self._held
        if value != 0 or not held.flags.c_contiguous:
            stand_in.own_kernels.add("fill")
        self._here().add(lambda: held.fill(value), self._lease.block)

    # -- views ----------------------------------------------------------------------------------------------------------
    def reshape(self, *shape: Any) -> ndarray:
        made = self._held.reshape(*shape)
        if self.size and not np.shares_memory(made, self._held):
            raise NotImplementedError("The stand-in reshapes only what needs no copy.")
        return ndarray(self._lease, made)

    def ravel(self) -> ndarray:
        return self.reshape(-1)

    def view(self, dtype: Any) -> ndarray:
        return ndarray(self._lease, self._held.view(dtype))

    def __len__(self) -> int:
        return len(self._held)

    def __getitem__(self, key: Any) -> ndarray:
        return ndarray(self._lease, self._view(key))

    def __setitem__(self, key: Any, value: Any) -> None:
        if isinstance(value, np.ndarray) and value.ndim:
            raise TypeError("Unsupported type <class 'numpy.ndarray'>")
        stand_in.own_kernels.add("copy")
        held, queue = self._view(key), self._here()
        if isinstance(value, ndarray):
            value._here()
            source = value._held
            np.broadcast_shapes(source.shape, held.shape)
            queue.add(lambda: np.copyto(held, source, casting="unsafe"), self._lease.block, value._lease.block)
        else:
            queue.add(lambda: held.fill(value), self._lease.block)

    def _view(self, key: Any) -> np.ndarray:
        keys = key if isinstance(key, tuple) else (key,)
        if not all(isinstance(k, (int, np.integer, slice, type(None), type(Ellipsis))) for k in keys):
            raise NotImplementedError("The stand-in takes slices and integers as indices.")
        return self._held[(*keys, ...)] if not any(k is Ellipsis for k in keys) else self._held[keys]

    def _here(self) -> Any:
        """Return the current stream's queue; an array of another device may not be touched."""
        check_device(self)
        return queue_here()


def check_device(array: ndarray) -> None:
    """Raise where an array belongs to another device than the current one."""
    here, its = stand_in.require_device(), array._lease.block.device
    if its != here:
        raise ValueError(f"Array device must be same as the current device: array device = {its} while current = {here}")


def empty(shape: Any, dtype: Any = float) -> ndarray:
    shape, dtype = (tuple(shape) if np.ndim(shape) else (int(shape),)), np.dtype(dtype)
    if dtype.kind not in "biufc":
        raise ValueError(f"Unsupported dtype {dtype}")
    size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    lease = pool.malloc(size)
    # Through a memoryview, so that the array is its own base: the pool's block is nobody's business.
    return ndarray(lease, np.ndarray(shape, dtype, memoryview(lease.block.bytes[:size])))


def zeros(shape: Any, dtype: Any = float) -> ndarray:
    made = empty(shape, dtype)
    made.fill(0)
    return made


def full(shape: Any, fill_value: Any, dtype: Any = None) -> ndarray:
    made = empty(shape, np.array(fill_value).dtype if dtype is None else dtype)
    made.fill(fill_value)
    return made


def asarray(a: Any, dtype: Any = None) -> ndarray:
    if isinstance(a, ndarray):
        if dtype is not None and np.dtype(dtype) != a.dtype:
            raise NotImplementedError("The stand-in casts nothing.")
        return a
    values = np.array(a, dtype, order="C")
    made = empty(values.shape, values.dtype)
    made.set(values)
    return made


def asnumpy(a: Any, stream: Stream | None = None, order: str = "C", out: Any = None, *, blocking: bool = True) -> np.ndarray:
    if isinstance(a, ndarray):
        return a.get(stream, order, out, blocking)
    return np.asarray(a)


def arange(*args: Any, **kwargs: Any) -> ndarray:
    stand_in.own_kernels.add("arange")
    return asarray(np.arange(*args, **kwargs))
