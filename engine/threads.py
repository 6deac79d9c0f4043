"""How many threads a rank uses. Numba reads its limit when it is first imported, so this runs before any kernel is."""

from __future__ import annotations

import os
import sys

_LOCAL_SIZE = ("MPI_LOCALNRANKS", "OMPI_COMM_WORLD_LOCAL_SIZE", "SLURM_NTASKS_PER_NODE")


def use_threads(wanted: int = 0) -> int:
    """Set the number of kernel threads of this rank and return it.

    Parameters
    ----------
    wanted : number of threads; 0 shares the cores that this process may use among the ranks of the node.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    local = next((int(os.environ[n]) for n in _LOCAL_SIZE if os.environ.get(n, "").isdigit()), 1)
    count = wanted or int(os.environ.get("SLURM_CPUS_PER_TASK") or 0) or max(1, cores // local)
    if "numba" not in sys.modules:
        os.environ["NUMBA_NUM_THREADS"] = str(max(count, int(os.environ.get("NUMBA_NUM_THREADS") or 1)))
    import numba

    count = min(count, int(getattr(numba.config, "NUMBA_NUM_THREADS", count)))
    numba.set_num_threads(count)
    return count
