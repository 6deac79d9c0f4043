"""The world: the only object that knows ranks. It is made once, at the door, and passed to whatever needs it.

Serial and MPI runs answer the same calls. City-wide rasters (the surface model that shadows march over) live once per node in
a shared window, so that no halo can be a cell short; tiles with halos are in `partition` and `halo`.
"""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

from felsina.engine.errors import FelsinaError, MachineError

T = TypeVar("T")
Rows = tuple[int, int]
Window = tuple[slice, ...]

# What each launcher tells its processes about the size of the job.
_SIZE_VARIABLES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MPI_LOCALNRANKS", "PMIX_SIZE")
_MESSAGE_LIMIT = 2**31 - 1  # elements in one MPI message that every MPI library takes

_EXCHANGE_TAG = 71  # of messages that are started and awaited later

_LAST_WORDS_S = 0.3  # s that a launcher has to pass on the reason of an end


class World:
    """A group of ranks; `World.serial()` is the group of one, without MPI.

    Parameters
    ----------
    comm : mpi4py communicator or None
    ranks_per_node : int, optional
        Pretend that this many consecutive ranks share a node; absent: what MPI says. Lets one machine test the exchange
        between nodes.
    """

    def __init__(self, comm: Any = None, ranks_per_node: int | None = None) -> None:
        self._comm = comm
        self.rank: int = comm.Get_rank() if comm is not None else 0
        self.size: int = comm.Get_size() if comm is not None else 1
        self._windows: list[Any] = []
        self._node = self._leaders = None
        if self.size > 1:
            from mpi4py import MPI

            if ranks_per_node:
                self._node = comm.Split(self.rank // ranks_per_node, self.rank)
            else:
                self._node = comm.Split_type(MPI.COMM_TYPE_SHARED, self.rank)
            leaders = comm.Split(0 if self._node.Get_rank() == 0 else MPI.UNDEFINED, self.rank)
            self._leaders = leaders if leaders != MPI.COMM_NULL else None
            self._node_of = comm.allgather(self._node.bcast(self.rank, 0))

    @classmethod
    def serial(cls) -> World:
        """Return the world of one rank; never imports mpi4py."""
        return cls()

    @classmethod
    def launched(cls, environ: os._Environ[str] | dict[str, str] = os.environ) -> World:
        """Return the world that the launcher made: MPI under mpiexec or srun, serial otherwise.

        Raises
        ------
        MachineError
            When the launcher started several processes that would each believe to be alone (a wrong PMI, or no mpi4py).
        """
        promised = promised_size(environ)
        if promised is None:
            return cls.serial()
        try:
            from mpi4py import MPI
        except ImportError as error:
            if promised == 1:
                return cls.serial()
            raise MachineError(
                f"The launcher started {promised} processes but mpi4py is not installed, so each would do the whole job. "
                "Install felsina[mpi], or start one process."
            ) from error
        refuse_singletons(promised, MPI.COMM_WORLD.Get_size())
        world = cls(MPI.COMM_WORLD)
        if world.size > 1:
            sys.excepthook = world._abort_on
        return world

    @property
    def is_root(self) -> bool:
        return self.rank == 0

    @property
    def local_rank(self) -> int:
        """Rank within the node."""
        return 0 if self._node is None else self._node.Get_rank()

    @property
    def local_size(self) -> int:
        """Number of ranks on this node."""
        return 1 if self._node is None else self._node.Get_size()

    @property
    def node(self) -> int:
        """The lowest rank of this node: the same for all ranks of a node and for no other."""
        return 0 if self._node is None else self._node_of[self.rank]

    @property
    def handle(self) -> Any:
        """The communicator, opaque; None when serial. For `engine.io` only."""
        return self._comm

    # -- collectives on Python objects ----------------------------------------------------------------------------------
    def bcast(self, value: T, root: int = 0) -> T:
        """Return the root's value on every rank."""
        return value if self._comm is None else self._comm.bcast(value, root)

    def gather(self, value: T) -> list[T] | None:
        """Return all values in rank order on the root, None elsewhere."""
        return [value] if self._comm is None else self._comm.gather(value, 0)

    def scatter(self, values: Sequence[T]) -> T:
        """Return the value of this rank, of one for each rank; read on the root."""
        return values[0] if self._comm is None else self._comm.scatter(values, 0)

    def allgather(self, value: T) -> list[T]:
        """Return all values in rank order on every rank."""
        return [value] if self._comm is None else self._comm.allgather(value)

    def barrier(self) -> None:
        if self._comm is not None:
            self._comm.Barrier()

    def on_root(self, function: Callable[[], T]) -> T:
        """Run `function` on the root and return its result everywhere; an error is raised on every rank, once and the same."""
        if self._comm is None:
            return function()
        result: Any = None
        error: BaseException | None = None
        if self.is_root:
            try:
                result = function()
            except FelsinaError as raised:
                error = raised
        error = self.bcast(error)
        if error is not None:
            error.collective = True  # type: ignore[attr-defined]  # tells the door that every rank knows: no Abort needed
            raise error
        return self.bcast(result)

    def on_every_rank(self, function: Callable[[], T]) -> T:
        """Run `function` on every rank and return its result there; where it fails, all raise the error of the first such rank.

        The function may not communicate: a rank that failed no longer answers.
        """
        if self._comm is None:
            return function()
        error: FelsinaError | None = None
        try:
            result = function()
        except FelsinaError as raised:
            error = raised
        failed = [(rank, e) for rank, e in enumerate(self.allgather(error)) if e is not None]
        if not failed:
            return result
        rank, first = failed[0]
        told = first if len(failed) == self.size else type(first)(f"Rank {rank} of {self.size}: {first}")
        told.collective = True  # type: ignore[attr-defined]  # tells the door that every rank knows: no Abort needed
        raise told

    # -- arrays ---------------------------------------------------------------------------------------------------------
    def reduce_exact(self, array: NDArray[Any], operation: str) -> NDArray[Any]:
        """Combine an integer array of all ranks in place and return it: "sum", "min" or "max".

        Integers only: they add to the same bits in any order.
        """
        if array.dtype.kind not in "iub":
            raise TypeError(f"reduce_exact takes integers; got {array.dtype}. A float sum would depend on the rank count.")
        if self._comm is not None:
            from mpi4py import MPI

            flat = array.reshape(-1)
            step = _MESSAGE_LIMIT
            for start in range(0, max(1, flat.size), step):
                self._comm.Allreduce(MPI.IN_PLACE, flat[start : start + step], getattr(MPI, operation.upper()))
        return array

    def exchange(self, parts: Sequence[NDArray[Any]], expected: NDArray[np.int64] | None = None) -> list[NDArray[Any]]:
        """Send `parts[r]` to rank r and return what each rank sent here, in rank order.

        All parts share dtype and trailing shape; the leading length varies and may be 0.

        Parameters
        ----------
        parts : one array per rank
        expected : (size,) lengths that will come from each rank, where they are known (all ranks give theirs, or none does);
            they save two rounds of messages.
        """
        if self._comm is None:
            return [parts[0]]
        if len(parts) != self.size:
            raise ValueError(f"exchange got {len(parts)} parts for {self.size} ranks.")
        tail, dtype = parts[0].shape[1:], parts[0].dtype
        width = int(np.prod(tail, dtype=np.int64)) if tail else 1
        send = np.array([len(p) for p in parts], np.int64)
        receive = np.empty(self.size, np.int64) if expected is None else expected
        if expected is None:
            self._comm.Alltoall(send, receive)
        item = _mpi_bytes(dtype)
        too_long = max(int(send.sum()), int(receive.sum())) * width * item[1] > _MESSAGE_LIMIT
        if too_long if expected is not None else any(self.allgather(too_long)):
            raise MachineError(
                f"An exchange of {int(max(send.sum(), receive.sum())):,} rows passes the {_MESSAGE_LIMIT:,} elements of one "
                "MPI message. Use more ranks."
            )
        out = np.empty((int(receive.sum()), *tail), dtype)
        packed = np.ascontiguousarray(np.concatenate(parts)) if len(parts) else out
        counts, incoming = send * width * item[1], receive * width * item[1]
        self._comm.Alltoallv(
            [packed.view(item[0]).reshape(-1), counts, _offsets(counts), item[2]],
            [out.view(item[0]).reshape(-1), incoming, _offsets(incoming), item[2]],
        )
        return list(np.split(out, np.cumsum(receive)[:-1]))

    def start_exchange(self, send: Mapping[int, Any], receive: Mapping[int, Any]) -> Exchange:
        """Start messages to and from other ranks and return at once; their memory may not be touched before `Exchange.wait`.

        Exchanges between two ranks arrive in the order in which both start them. A rank that has nothing to say to another one
        does not name it.

        Parameters
        ----------
        send, receive : by rank, contiguous arrays of one axis, of NumPy or of CuPy; both sides know the length
        """
        if self._comm is None:
            return Exchange([])
        requests = []
        for start, messages in ((self._comm.Irecv, receive), (self._comm.Isend, send)):
            for rank, array in messages.items():
                view, items, kind = _mpi_bytes(array.dtype)
                if array.size * items > _MESSAGE_LIMIT:
                    raise MachineError(
                        f"A message of {array.size:,} elements passes the {_MESSAGE_LIMIT:,} that MPI takes. Use more ranks."
                    )
                wire = array if view == array.dtype else array.view(view)
                requests.append(start([wire, array.size * items, kind], rank, _EXCHANGE_TAG))
        return Exchange(requests)

    def shared(self, shape: tuple[int, ...], dtype: DTypeLike, fill: float | int = 0) -> NDArray[Any]:
        """Return an array that all ranks of a node see; filled, and safe to write one's own part of.

        Every rank must call it in the same order. After writing, call `synchronise` before anybody reads.
        """
        dtype = np.dtype(dtype)
        if self._node is None:
            return np.full(shape, fill, dtype)
        from mpi4py import MPI

        size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        mine = size if self._node.Get_rank() == 0 else 0
        try:
            window = MPI.Win.Allocate_shared(mine, dtype.itemsize, comm=self._node)
        except MPI.Exception as error:
            raise MachineError(
                f"The ranks of a node could not get {size / 1e6:,.1f} MB of shared memory. Its folder (/dev/shm) is full or "
                "too small: enlarge it, or use fewer cells or more nodes."
            ) from error
        window.Lock_all()  # the memory barriers of Sync are only defined inside an access epoch
        buffer, _ = window.Shared_query(0)
        array: NDArray[Any] = np.ndarray(shape, dtype, np.asarray(buffer)[:size])
        self._windows.append((window, array))
        if self._node.Get_rank() == 0:
            array[...] = fill
        self._node.Barrier()
        return array

    def release(self, array: NDArray[Any]) -> None:
        """Give a shared array back; collective."""
        for k, (window, held) in enumerate(self._windows):
            if held is array:
                del self._windows[k]
                self.barrier()
                _free(window)
                return

    def synchronise(self, array: NDArray[Any], written: Iterable[Window]) -> None:
        """Make the windows that each rank wrote in a shared array visible to all ranks, on all nodes. Collective.

        Parameters
        ----------
        array : shared array
        written : the windows that this rank wrote, each a tuple of slices; those of different ranks do not overlap.
        """
        if self._comm is None or self._node is None:
            return
        for window, held in self._windows:
            if held is array:
                window.Sync()
        self._node.Barrier()
        leaders = sorted(set(self._node_of))
        if len(leaders) > 1:
            ranges = self._comm.allgather(list(written))
            if self._leaders is not None:
                for rank, windows in enumerate(ranges):
                    root = leaders.index(self._node_of[rank])
                    for window in windows:
                        part = np.ascontiguousarray(array[window])
                        self._leaders.Bcast(part.view(np.uint8).reshape(-1), root)
                        array[window] = part
            for window, held in self._windows:
                if held is array:
                    window.Sync()
            self._node.Barrier()
        for window, held in self._windows:
            if held is array:
                window.Sync()

    def finalise(self) -> None:
        """Leave MPI for good: what follows on the root is a process of its own (the report)."""
        self.close()
        if self._comm is not None:
            from mpi4py import MPI

            MPI.Finalize()

    def share_of(self, n: int, block: int = 1) -> Rows:
        """Return this rank's contiguous range of `n` things in whole blocks; ranks beyond the blocks get an empty range."""
        blocks = -(-n // block)
        first, last = self.rank * blocks // self.size, (self.rank + 1) * blocks // self.size
        return min(n, first * block), min(n, last * block)

    def close(self) -> None:
        """Free the shared windows; collective. The world stays usable."""
        for window, _ in self._windows:
            _free(window)
        self._windows.clear()

    # -- the end with an error ------------------------------------------------------------------------------------------
    def abort(self, code: int) -> None:
        """End every rank at once with this exit code."""
        sys.stdout.flush()
        sys.stderr.flush()
        if self._comm is None:
            raise SystemExit(code)
        # The launcher may end without reading what was written last: the reason would be lost.
        time.sleep(_LAST_WORDS_S)
        self._comm.Abort(code)

    def _abort_on(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        # An exception that ends one rank would leave the others waiting for ever in the next collective call.
        print(f"rank {self.rank} of {self.size}:", file=sys.stderr)
        traceback.print_exception(kind, error, trace)
        self.abort(getattr(error, "exit_code", 1))


class Exchange:
    """Messages under way; `wait` ends when what comes is there and what goes may be overwritten."""

    def __init__(self, requests: list[Any]) -> None:
        self._requests = requests

    def wait(self) -> None:
        if not self._requests:
            return
        from mpi4py import MPI

        requests, self._requests = self._requests, []
        try:
            MPI.Request.Waitall(requests)
        except MPI.Exception as error:
            raise MachineError(f"MPI lost a message between ranks: {error}.") from error


def promised_size(environ: os._Environ[str] | dict[str, str]) -> int | None:
    """Return how many processes the launcher says it started, or None outside any launcher."""
    for name in _SIZE_VARIABLES:
        if environ.get(name, "").isdigit():
            return int(environ[name])
    if "SLURM_STEP_ID" in environ and "SLURM_PROCID" in environ:
        return int(environ.get("SLURM_STEP_NUM_TASKS") or environ.get("SLURM_NTASKS") or 1)
    return None


def refuse_singletons(promised: int, found: int) -> None:
    """Raise MachineError when the launcher promised several ranks and MPI sees one: each copy would do the whole job."""
    if promised > 1 and found == 1:
        raise MachineError(
            f"The launcher started {promised} processes, but MPI sees a world of 1: launcher and MPI library do not fit. "
            "Choose the PMI that this MPI speaks ('srun --mpi=list'), or start with the mpiexec of the same MPI."
        )


def _free(window: Any) -> None:
    window.Unlock_all()
    window.Free()


def _offsets(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(np.int64)


def _mpi_bytes(dtype: np.dtype[Any]) -> tuple[Any, int, Any]:
    """Return (view dtype, elements per item, MPI type): simple types travel as they are, records as bytes."""
    from mpi4py import MPI

    if dtype.names is None and dtype.char in "bBhHiIlLqQfd":
        return dtype, 1, MPI._typedict[dtype.char]
    return np.dtype(np.uint8), dtype.itemsize, MPI.BYTE
