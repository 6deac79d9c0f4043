"""The test that MPI carries memory of a GPU, before a run rests on it: once round a ring of all ranks."""

from __future__ import annotations

import ctypes
import logging
from typing import Any

import numpy as np
from numpy.typing import NDArray

from felsina.engine.errors import MachineError
from felsina.engine.parallel.world import World

LOGGER = logging.getLogger("felsina")
SWITCH = "execution.gpu_aware"
_WAY_OUT = (
    f"Set {SWITCH} = false, or load an MPI that is built with CUDA and switch its support on (MPICH_GPU_SUPPORT_ENABLED=1)"
)
# Elements: MPI libraries carry short, middle and long messages by different ways.
_LENGTHS = (16, 5_000, 1_000_003)


def require_gpu_aware(world: World, device: Any) -> None:
    """Send patterns from GPU to GPU around a ring of all ranks and compare them; collective.

    Raises
    ------
    MachineError
        On every rank, when the MPI library of one says that it cannot, or fails, or delivers something else.
    """
    if world.is_root:
        # A library that takes the address for one of the host ends the process without another word.
        LOGGER.info(f"Testing that MPI carries GPU memory. If the run ends here, it cannot: set {SWITCH} = false.")
    world.on_every_rank(lambda: _refuse(says_no(device.buffer(1, np.uint32).array), "says that it cannot read GPU memory"))
    problems = [_round(world, device, length) for length in _LENGTHS]
    world.on_every_rank(lambda: _refuse(any(problems), next((p for p in problems if p), "")))


def _round(world: World, device: Any, length: int) -> str:
    """Send one pattern to the next rank and return what was wrong with the one that came."""
    left, right = (world.rank - 1) % world.size, (world.rank + 1) % world.size
    send, receive = device.buffer(length, np.uint32), device.buffer(length, np.uint32)
    with device.stream("halo"):
        device.put(_pattern(world.rank, length), send.array)
        device.put(np.zeros(length, np.uint32), receive.array)
    try:
        device.start_exchange(world, {right: send}, {left: receive}).wait()
    except MachineError as error:
        return f"fails to carry GPU memory ({error})"
    with device.stream("halo"):
        came = device.get(receive.array)
    wrong = int(np.count_nonzero(came != _pattern(left, length)))
    return f"delivered {wrong:,} of {length:,} numbers wrong from the GPU of rank {left}" if wrong else ""


def _refuse(failed: bool, why: str) -> None:
    if failed:
        raise MachineError(f"{SWITCH} is true, but the MPI library {why}. {_WAY_OUT}.")


def says_no(array: Any) -> bool:
    """Say whether the MPI library states that it cannot take this memory; many libraries state nothing."""
    import cupy
    from mpi4py import MPI

    where = cupy.cuda.runtime.pointerGetAttributes(array.data.ptr).type
    if where != cupy.cuda.runtime.memoryTypeDevice:
        return False  # memory that the host reads too
    for library in (None, MPI.__file__):
        query = getattr(ctypes.CDLL(library), "MPIX_Query_cuda_support", None)
        if query is not None:
            return not query()
    return False


def _pattern(rank: int, length: int) -> NDArray[np.uint32]:
    # Knuth's multiplicative hash: no two places and no two ranks alike.
    return (np.arange(length, dtype=np.uint32) + np.uint32(rank * 7919)) * np.uint32(2654435761)
