import os
import subprocess
import sys
from pathlib import Path

import pytest

from felsina.engine.threads import thread_count


@pytest.mark.parametrize(
    ("wanted", "environ", "count"),
    [
        (0, {}, 16),
        (3, {}, 3),
        (0, {"MPI_LOCALNRANKS": "4"}, 4),
        (2, {"MPI_LOCALNRANKS": "4"}, 2),
        (0, {"OMPI_COMM_WORLD_LOCAL_SIZE": "5"}, 3),
        (0, {"MPI_LOCALNRANKS": "64"}, 1),
        (0, {"SLURM_NTASKS_PER_NODE": "8"}, 2),
        (0, {"SLURM_NTASKS_PER_NODE": "2(x3)"}, 16),
        (0, {"SLURM_CPUS_PER_TASK": "6", "MPI_LOCALNRANKS": "4"}, 6),
        (1, {"SLURM_CPUS_PER_TASK": "6"}, 1),
    ],
)
def test_the_ranks_of_a_node_share_its_16_cores_unless_told_otherwise(wanted, environ, count):
    assert thread_count(wanted, 16, environ) == count


@pytest.mark.parametrize(("wanted", "expected"), [(0, None), (3, 3)])
def test_ranks_under_mpiexec_set_numba_to_that_number(wanted, expected, tmp_path):
    launcher = Path(sys.executable).with_name("mpiexec")
    if not launcher.exists():
        pytest.skip("no mpiexec in this environment: install felsina[mpi]")
    # Each rank has a file of its own: the lines of two ranks on one standard output may mix.
    code = (
        f"import os, felsina.engine.threads as t; n = t.use_threads({wanted}); import numba;"
        "open(f\"rank{os.environ['PMI_RANK']}\", 'w').write(f'{n} {numba.get_num_threads()}')"
    )
    hidden = ("SLURM_", "PMI", "MPI_", "NUMBA_NUM_THREADS")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(hidden)}
    command = [str(launcher), "-n", "2", sys.executable, "-c", code]
    subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=True)
    share = expected or max(1, len(os.sched_getaffinity(0)) // 2)
    assert [(tmp_path / f"rank{r}").read_text() for r in range(2)] == [f"{share} {share}"] * 2
