"""How many threads a rank uses. Numba reads its limit when it is first imported, so this runs before any kernel is."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

_LOCAL_SIZE = ("MPI_LOCALNRANKS", "OMPI_COMM_WORLD_LOCAL_SIZE", "SLURM_NTASKS_PER_NODE")


def thread_count(wanted: int, cores: int, environ: Mapping[str, str]) -> int:
    """Return the number of threads of one rank.

    Parameters
    ----------
    wanted : asked for; 0 takes what Slurm gives a task, else shares the cores among the ranks of the node
    cores : that this process may use
    environ : what the launcher said
    """
    if wanted:
        return wanted
    given = environ.get("SLURM_CPUS_PER_TASK", "")
    if given.isdigit() and int(given):
        return int(given)
    local = next((int(environ[n]) for n in _LOCAL_SIZE if environ.get(n, "").isdigit() and int(environ[n])), 1)
    return max(1, cores // local)


def use_threads(wanted: int = 0) -> int:
    """Set the number of kernel threads of this rank and return it.

    Parameters
    ----------
    wanted : number of threads; 0 shares the cores that this process may use among the ranks of the node.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    count = thread_count(wanted, cores, os.environ)
    if "numba" not in sys.modules:
        os.environ["NUMBA_NUM_THREADS"] = str(max(count, int(os.environ.get("NUMBA_NUM_THREADS") or 1)))
    import numba

    count = min(count, int(getattr(numba.config, "NUMBA_NUM_THREADS", count)))
    numba.set_num_threads(count)
    return count
