"""The folder in which a job keeps its unfinished work: points on disk, and results of finished units.

It belongs to one key, the hash of all that the job depends on: what another key has left is removed. Without a wish to go on,
so is what the same key has left.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from felsina.engine.io.disk import refused
from felsina.engine.io.journal import Journal, Place, read_places
from felsina.engine.io.spool import Spool, SpoolReader
from felsina.engine.parallel.world import World

_KEY = "key.txt"
_INDEX = "points.index.npy"


class WorkFolder:
    """Spool and journals of one job. Its making is collective.

    Parameters
    ----------
    world : World
    path : the folder, made where it is not there
    key : of the job
    resume : keep what an earlier process with the same key has left
    """

    def __init__(self, world: World, path: Path, key: str, resume: bool) -> None:
        self._world, self.path = world, path
        self._first_journal = world.on_root(lambda: self._opened(key, resume))

    def _opened(self, key: str, resume: bool) -> int:
        """Make the folder ready and return the number of journals that it holds."""
        mark = self.path / _KEY
        try:
            if self.path.exists() and not (resume and mark.exists() and mark.read_text(encoding="utf-8") == key):
                shutil.rmtree(self.path)
            self.path.mkdir(parents=True, exist_ok=True)
            mark.write_text(key, encoding="utf-8")
        except OSError as error:
            raise refused(self.path, error) from error
        return 1 + max((int(p.stem.split("-")[1]) for p in self._journals()), default=-1)

    def _journals(self) -> list[Path]:
        return sorted(self.path.glob("units-*.journal"))

    def spool(self, dtype: np.dtype[Any]) -> Spool:
        """Return the spool of this rank, empty."""
        return Spool(self._points(self._world.rank), self._world.rank, dtype)

    def _points(self, number: int) -> Path:
        return self.path / f"points-{number:05d}.spool"

    def seal(self, index: NDArray[np.int64]) -> None:
        """Keep the index of the spools of all ranks: the points are complete. Collective."""
        whole = np.concatenate(self._world.allgather(index))

        def keep() -> None:
            part = self.path / f"{_INDEX}.part"
            try:
                with open(part, "wb") as file:
                    np.save(file, whole)
                part.replace(self.path / _INDEX)
            except OSError as error:
                raise refused(part, error) from error

        self._world.on_root(keep)

    def is_sealed(self) -> bool:
        """Tell whether the points of this key are complete; collective."""
        return self._world.on_root((self.path / _INDEX).exists)

    def reader(self, dtype: np.dtype[Any], n_bucket: int) -> SpoolReader:
        """Return a reader of the complete points; collective."""
        index = self._world.on_root(lambda: np.load(self.path / _INDEX))
        n_file = int(index[:, 1].max(initial=-1)) + 1
        return SpoolReader([self._points(k) for k in range(n_file)], index, dtype, n_bucket)

    def journal(self) -> Journal:
        """Return a new journal of this rank."""
        return Journal(self.path / f"units-{self._first_journal + self._world.rank:05d}.journal")

    def finished(self) -> dict[int, Place]:
        """Return where the results of the units are that earlier processes finished; collective."""
        return self._world.on_root(lambda: read_places(self._journals()))

    def remove(self) -> None:
        """Remove the folder; collective."""
        self._world.barrier()
        self._world.on_root(lambda: shutil.rmtree(self.path, ignore_errors=True))
