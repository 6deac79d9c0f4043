"""Modules loaded from a cubin, and launches that are checked as the driver would, or more strictly."""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from cupy._array import check_device, ndarray
from cupy._state import CUDARuntimeError, stand_in
from cupy._streams import Stream, queue_here

_MOST_BLOCKS = (2**31 - 1, 65535, 65535)  # CUDA C++ Programming Guide, technical specifications
_MOST_THREADS = (1024, 1024, 64)
_THREADS_OF_A_BLOCK = 1024
_PARAMETER = 0x17  # EIATTR_KPARAM_INFO


class Pointer:
    """An array as a launch sees it: it keeps the memory, not the array."""

    def __init__(self, array: ndarray) -> None:
        self._held = array._held
        self.block = array._lease.block
        self.dtype, self.shape, self.size, self.nbytes = array.dtype, array.shape, array.size, array.nbytes
        self.flags = array.flags
        self.ptr = array.data.ptr


class RawModule:
    """A module loaded from a cubin."""

    def __init__(self, *, path: str) -> None:
        self._path = path
        self._code = Path(path).read_bytes()
        if self._code[:4] != b"\x7fELF":
            raise ValueError(f"'{path}' is no cubin.")
        architecture = self._code[48]  # the low byte of the ELF flags, such as 80
        device = int(stand_in.compute_capability)
        stand_in.require_device()
        if architecture // 10 != device // 10 or architecture > device:
            raise CUDARuntimeError(209)

    def get_function(self, name: str) -> Callable[..., None]:
        sizes, kinds = parameter_sizes(self._code, name), _parameter_kinds(Path(self._path), name)

        def launch(
            grid: tuple[int, ...], block: tuple[int, ...], args: tuple[Any, ...], *, stream: Stream | None = None
        ) -> None:
            stand_in.check()
            _check_extent(grid, block)
            values = _checked(name, args, sizes, kinds)
            execute, path = stand_in.executor(), self._path
            stand_in.launches.append(name)
            blocks = tuple(v.block for v in values if isinstance(v, Pointer))
            queue_here(stream).add(lambda: execute(name, path, tuple(grid), tuple(block), values), *blocks)

        return launch


def parameter_sizes(code: bytes, name: str) -> list[int]:
    """Return the bytes of each parameter of a function, as its cubin says."""
    table, size, count, names = struct.unpack_from("<Q", code, 40)[0], *struct.unpack_from("<HHH", code, 58)
    sections = [struct.unpack_from("<IIQQQQ", code, table + k * size) for k in range(count)]
    text = sections[names][4]
    for section in sections:
        start = text + section[0]
        if code[start : code.index(b"\0", start)] != f".nv.info.{name}".encode():
            continue
        sizes, at, end = {}, section[4], section[4] + section[5]
        while at < end:
            form, attribute, length = struct.unpack_from("<BBH", code, at)
            at += 4
            if form == 4:
                if attribute == _PARAMETER:
                    _, ordinal, _, flags = struct.unpack_from("<IHHI", code, at)
                    sizes[ordinal] = flags >> 18
                at += length
        return [sizes[k] for k in range(len(sizes))]
    raise AttributeError(f"The module has no function {name}.")


def _parameter_kinds(path: Path, name: str) -> list[str] | None:
    """Return "f" or "u" for each parameter, from the PTX that lies beside the cubin; None without one."""
    source = path.with_suffix(".ptx")
    if not source.exists():
        return None
    found = re.search(rf"\.entry\s+{re.escape(name)}\s*\(([^)]*)\)", source.read_text())
    return ["f" if w[0] == "f" else "u" for w in re.findall(r"\.param\s+\.(\w+)", found[1])] if found else None


def _check_extent(grid: tuple[int, ...], block: tuple[int, ...]) -> None:
    for values, most in ((grid, _MOST_BLOCKS), (block, _MOST_THREADS)):
        if not 1 <= len(values) <= 3 or any(not 1 <= v <= m for v, m in zip(values, most, strict=False)):
            raise CUDARuntimeError(9)
    if math.prod(block) > _THREADS_OF_A_BLOCK:
        raise CUDARuntimeError(9)


def _checked(name: str, arguments: tuple[Any, ...], sizes: list[int], kinds: list[str] | None) -> tuple[Any, ...]:
    if len(arguments) != len(sizes):
        raise TypeError(f"{name} takes {len(sizes)} parameters, not {len(arguments)}.")
    values: list[Any] = []
    for k, (value, size) in enumerate(zip(arguments, sizes, strict=True)):
        if isinstance(value, ndarray):
            check_device(value)
            if not value.flags.c_contiguous:
                raise TypeError(f"Parameter {k} of {name} is a strided array; a pointer says nothing of strides.")
            value, held, kind = Pointer(value), 8, "u"
        elif isinstance(value, np.generic):
            held, kind = value.itemsize, "f" if value.dtype.kind == "f" else "u"
        else:
            raise TypeError(f"Unsupported type {type(value)}")
        if held != size or (kinds is not None and kind != kinds[k]):
            raise TypeError(f"Parameter {k} of {name} takes {size} bytes; a {kind}{held} was given.")
        values.append(value)
    return tuple(values)
