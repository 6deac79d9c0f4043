"""Units of work of uneven cost, each to the rank that asks next, the dearest first.

Which rank does a unit depends on the clock; so a unit's result may depend on the unit alone. The root hands out the units and
works as well: it answers the others between two pieces of its own work (`serve`). A rank asks for its next unit before it
starts on the one at hand, so that it seldom waits for an answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from felsina.engine.parallel.world import World

_ASK, _ANSWER = 7101, 7102  # message tags
_NONE = -1


def dearest_first(costs: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the numbers of the units by descending cost; equal ones in their own order.

    >>> dearest_first(np.array([5, 9, 5])).tolist()
    [1, 0, 2]
    """
    return np.lexsort((np.arange(len(costs)), -np.asarray(costs))).astype(np.int64)


class Claims:
    """Hands every unit to exactly one rank. All ranks iterate, and all must come to the end.

    Parameters
    ----------
    world : World
    units : (n,) int64
        Numbers of the units in the order in which they go out; read on the root.
    handed : called on the root with the number of units that went out since the last call
    """

    def __init__(self, world: World, units: NDArray[np.int64], handed: Callable[[int], None] = lambda n: None) -> None:
        self._comm = world.handle
        self._is_root = world.is_root
        self._units = units
        self._next = 0
        self._working = world.size - 1  # ranks that were not told yet that nothing is left
        self._handed = handed

    def __iter__(self) -> Iterator[int]:
        return self._of_root() if self._is_root else self._of_others()

    def serve(self) -> None:
        """Answer the ranks that wait; on others than the root this does nothing. Call it often: others may be idle."""
        if not self._is_root or self._comm is None:
            return
        while self._working and self._comm.iprobe(tag=_ASK):
            self._answer()

    def _of_root(self) -> Iterator[int]:
        while (unit := self._take()) != _NONE:
            self.serve()
            yield unit
            self.serve()
        while self._working:
            self._answer()

    def _of_others(self) -> Iterator[int]:
        awaited = self._ask()
        while (unit := int(awaited.wait())) != _NONE:
            awaited = self._ask()
            yield unit

    def _take(self) -> int:
        if self._next == len(self._units):
            return _NONE
        self._next += 1
        self._handed(1)
        return int(self._units[self._next - 1])

    def _ask(self) -> Any:
        assert self._comm is not None
        self._comm.send(None, 0, _ASK)
        return self._comm.irecv(source=0, tag=_ANSWER)

    def _answer(self) -> None:
        """Receive one question, waiting for it, and answer it."""
        from mpi4py import MPI

        assert self._comm is not None
        status = MPI.Status()
        self._comm.recv(source=MPI.ANY_SOURCE, tag=_ASK, status=status)
        unit = self._take()
        # A rank that was told once that nothing is left does not ask again.
        self._working -= unit == _NONE
        self._comm.send(unit, status.Get_source(), _ANSWER)
