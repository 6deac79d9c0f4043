"""Arrays of the stand-in: a NumPy array behind a wall, so that host code that touches it by mistake fails as it would on a GPU."""

from __future__ import annotations

from typing import Any

import numpy as np


class ndarray:
    """An array on the device."""

    __array_priority__ = 1000

    def __init__(self, held: np.ndarray) -> None:
        self._held = held

    def __array__(self, *_: Any, **__: Any) -> np.ndarray:
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()`.")

    def __repr__(self) -> str:
        return f"<stand-in array {self.shape} {self.dtype}>"

    dtype = property(lambda self: self._held.dtype)
    shape = property(lambda self: self._held.shape)
    size = property(lambda self: self._held.size)
    ndim = property(lambda self: self._held.ndim)
    nbytes = property(lambda self: self._held.nbytes)
    flags = property(lambda self: self._held.flags)

    @property
    def data(self) -> Any:
        return self

    @property
    def ptr(self) -> int:
        return self._held.ctypes.data

    def get(self) -> np.ndarray:
        return self._held.copy()

    def set(self, values: np.ndarray) -> None:
        self._held[...] = values

    def fill(self, value: Any) -> None:
        self._held.fill(value)

    def copy(self) -> ndarray:
        return ndarray(self._held.copy())

    def reshape(self, *shape: Any) -> ndarray:
        made = self._held.reshape(*shape)
        if not np.shares_memory(made, self._held) and self.size:
            raise ValueError("reshape copied")
        return ndarray(made)

    ravel = lambda self: self.reshape(-1)  # noqa: E731

    def view(self, dtype: Any) -> ndarray:
        return ndarray(self._held.view(dtype))

    def __len__(self) -> int:
        return len(self._held)

    def __getitem__(self, key: Any) -> ndarray:
        made = self._held[key]
        return ndarray(made if isinstance(made, np.ndarray) else np.asarray(made))

    def __setitem__(self, key: Any, value: Any) -> None:
        if isinstance(value, np.ndarray) and value.ndim:
            raise TypeError("Unsupported type <class 'numpy.ndarray'>")
        self._held[key] = value._held if isinstance(value, ndarray) else value


def asarray(values: Any, dtype: Any = None) -> ndarray:
    return values if isinstance(values, ndarray) else ndarray(np.array(values, dtype, order="C"))


def asnumpy(array: ndarray) -> np.ndarray:
    return array.get()


def empty(shape: Any, dtype: Any = float) -> ndarray:
    made = np.empty(shape, dtype)
    made.reshape(-1).view(np.uint8)[...] = 0xA5  # what nobody wrote is no number that anybody expects
    return ndarray(made)


def zeros(shape: Any, dtype: Any = float) -> ndarray:
    return ndarray(np.zeros(shape, dtype))


def full(shape: Any, value: Any, dtype: Any = None) -> ndarray:
    return ndarray(np.full(shape, value, dtype))


def arange(*args: Any, **kwargs: Any) -> ndarray:
    return ndarray(np.arange(*args, **kwargs))
