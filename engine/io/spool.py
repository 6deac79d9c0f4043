"""Records sorted into buckets on disk: what does not fit into memory waits there until its bucket is worked on.

Each rank appends to one file of its own and keeps an index of the pieces; any rank reads a bucket from the pieces of all ranks.
The order of the records in a bucket follows from ranks and reading: sort before use.
"""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from felsina.engine.errors import ProductError
from felsina.engine.io.disk import refused


class Spool:
    """Appends records of one dtype to a file.

    Parameters
    ----------
    path : the file, made anew
    number : of the file among all, for the index
    dtype : of the records
    """

    def __init__(self, path: Path, number: int, dtype: np.dtype[Any]) -> None:
        self.path, self._number, self._dtype = path, number, dtype
        self._at = 0
        self._index: list[NDArray[np.int64]] = []
        try:
            self._file = open(path, "wb", buffering=0)  # noqa: SIM115  # closed by __exit__
        except OSError as error:
            raise refused(path, error) from error

    def __enter__(self) -> Spool:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._file.close()

    def add(self, records: NDArray[Any], bucket: NDArray[np.integer]) -> None:
        """Append records, each to its bucket.

        Raises
        ------
        MachineError
            When the disk is full.
        """
        if len(records) == 0:
            return
        order = np.argsort(bucket, kind="stable")
        buckets, first = np.unique(bucket[order], return_index=True)
        count = np.diff(np.append(first, len(records)))
        piece = np.column_stack((buckets, np.full(len(buckets), self._number), self._at + first, count))
        view = memoryview(records[order].tobytes())
        try:
            while view:
                view = view[self._file.write(view) :]
        except OSError as error:
            raise refused(self.path, error) from error
        self._at += len(records)
        self._index.append(piece.astype(np.int64))

    def index(self) -> NDArray[np.int64]:
        """Return (n, 4) the pieces: bucket, number of the file, first record, records."""
        return np.concatenate(self._index) if self._index else np.zeros((0, 4), np.int64)


class SpoolReader:
    """Reads buckets from the files of all ranks.

    Parameters
    ----------
    paths : the files, by number
    index : (n, 4) pieces of all files, in any order
    dtype : of the records
    n_bucket : number of buckets
    """

    def __init__(self, paths: list[Path], index: NDArray[np.int64], dtype: np.dtype[Any], n_bucket: int) -> None:
        self._paths, self._dtype = paths, dtype
        order = np.lexsort(index.T[::-1])
        self._index = index[order]
        self._offsets = np.searchsorted(self._index[:, 0], np.arange(n_bucket + 1))
        self._files: dict[int, int] = {}

    def __enter__(self) -> SpoolReader:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for descriptor in self._files.values():
            os.close(descriptor)
        self._files.clear()

    def counts(self) -> NDArray[np.int64]:
        """Return (n_bucket,) the number of records in each bucket."""
        totals = np.concatenate(([0], np.cumsum(self._index[:, 3])))
        return (totals[self._offsets[1:]] - totals[self._offsets[:-1]]).astype(np.int64)

    def take(self, bucket: int) -> NDArray[Any]:
        """Return the records of a bucket.

        Raises
        ------
        ProductError
            When a file is shorter than its index says.
        """
        size = self._dtype.itemsize
        parts = [np.zeros(0, self._dtype)]
        for _, number, first, count in self._index[self._offsets[bucket] : self._offsets[bucket + 1]].tolist():
            if number not in self._files:
                self._files[number] = os.open(self._paths[number], os.O_RDONLY)
            raw = os.pread(self._files[number], count * size, first * size)
            if len(raw) < count * size:
                raise ProductError(
                    f"'{self._paths[number]}' is shorter than when it was written. Remove its folder and run again."
                )
            parts.append(np.frombuffer(raw, self._dtype))
        return np.concatenate(parts)
