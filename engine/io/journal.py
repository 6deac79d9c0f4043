"""Results of finished units of work, appended one by one, so that a run that was killed goes on where it stopped.

A journal is a file of records, written by one rank and read by any. A record holds the named arrays of one unit behind its
length and a checksum: what a killed process left half-written is recognised, and the units before it stay good.
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from felsina.engine.errors import ProductError
from felsina.engine.io.disk import refused

_HEAD = struct.Struct("<4sIqqI")  # magic, length of the description, unit, length of the values, checksum of both
_MAGIC = b"flsJ"


class Place(NamedTuple):
    """Where the record of a unit is: path of the journal, offset and length of the record after its head [bytes]."""

    path: str
    offset: int
    described: int
    length: int


class Journal:
    """Appends records to a file of this rank's own.

    Parameters
    ----------
    path : a file that is not there yet
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._at = 0
        try:
            self._file = open(path, "xb", buffering=0)  # noqa: SIM115  # closed by __exit__
        except OSError as error:
            raise refused(path, error) from error

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._file.close()

    def add(self, unit: int, arrays: Mapping[str, NDArray[Any]]) -> Place:
        """Append the arrays of a unit; when this returns, they survive the process.

        Raises
        ------
        MachineError
            When the disk is full.
        """
        held = {name: np.ascontiguousarray(values) for name, values in arrays.items()}
        described = json.dumps([[n, v.dtype.str, v.shape] for n, v in held.items()], separators=(",", ":")).encode()
        values = b"".join(v.tobytes() for v in held.values())
        check = zlib.crc32(values, zlib.crc32(described))
        record = b"".join((_HEAD.pack(_MAGIC, len(described), unit, len(values), check), described, values))
        view = memoryview(record)
        try:
            while view:
                view = view[self._file.write(view) :]
        except OSError as error:
            raise refused(self.path, error) from error
        place = Place(str(self.path), self._at + _HEAD.size, len(described), len(values))
        self._at += len(record)
        return place


def read_places(paths: Iterable[Path]) -> dict[int, Place]:
    """Return where the record of each finished unit is; a file is read up to its first damaged record."""
    found: dict[int, Place] = {}
    for path in sorted(paths):
        with open(path, "rb") as file:
            at = 0
            while len(head := file.read(_HEAD.size)) == _HEAD.size:
                magic, described, unit, length, check = _HEAD.unpack(head)
                if magic != _MAGIC:
                    break
                text, values = file.read(described), file.read(length)
                if len(values) < length or zlib.crc32(values, zlib.crc32(text)) != check:
                    break
                found.setdefault(unit, Place(str(path), at + _HEAD.size, described, length))
                at = file.tell()
    return found


class Reader:
    """Reads records by their places; keeps its files open."""

    def __init__(self) -> None:
        self._files: dict[str, int] = {}

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for descriptor in self._files.values():
            os.close(descriptor)
        self._files.clear()

    def load(self, place: Place, names: Iterable[str] | None = None) -> dict[str, NDArray[Any]]:
        """Return the arrays of a record, all or some of them; each is read on its own.

        Raises
        ------
        ProductError
            When the file is shorter than its record.
        """
        described = json.loads(self._read(place, place.offset, place.described))
        wanted = None if names is None else set(names)
        at = place.offset + place.described
        arrays = {}
        for name, kind, shape in described:
            dtype = np.dtype(kind)
            n = dtype.itemsize * int(np.prod(shape, dtype=np.int64))
            if wanted is None or name in wanted:
                arrays[name] = np.frombuffer(self._read(place, at, n), dtype).reshape(shape)
            at += n
        return arrays

    def _read(self, place: Place, offset: int, n: int) -> bytes:
        if place.path not in self._files:
            self._files[place.path] = os.open(place.path, os.O_RDONLY)
        parts = []
        while n > 0:
            part = os.pread(self._files[place.path], n, offset)
            if not part:
                raise ProductError(
                    f"'{place.path}' is shorter than when it was written. Remove it and run again with --resume."
                )
            parts.append(part)
            offset, n = offset + len(part), n - len(part)
        return b"".join(parts)
