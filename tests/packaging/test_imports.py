"""What the start of a rank costs: a thousand ranks open the same files of one parallel file system at the same time."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

# numpy, numba and h5py alone take about 4,000, the modules of all jobs some 600; xarray and pandas would take another 9,000
FILE_CALLS = 5000
ANALYSIS = {"xarray", "dask", "pandas", "rich", "matplotlib", "netCDF4", "h5netcdf"}
READERS = {"pyogrio", "tifffile", "imagecodecs", "rasterio"}  # pyproj comes with laspy, which every rank reads points by

# numba uses scipy where it finds it; the tests need it, an installation of felsina does not.
PROGRAM = """
import sys
sys.modules["scipy"] = None
import mpi4py
mpi4py.rc.initialize = False
from mpi4py import MPI
import h5py
from felsina.jobs.run import upstream
upstream()
import numpy as np
from felsina.kernels.counter import uniform
uniform(1, 2, np.arange(4, dtype=np.uint64), 2)
"""


def file_calls(trace: str) -> int:
    """Count the calls that look up a path or list a folder; the state of a file that is open already is no look-up."""
    calls = [line for line in trace.splitlines() if re.search(r"\b\w+\(", line) and "AT_EMPTY_PATH" not in line]
    return sum("resumed>" not in line for line in calls)


def test_the_way_to_the_first_kernel_stays_within_its_budget_of_file_calls(tmp_path):
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("no strace: apt-get install strace")
    pytest.importorskip("mpi4py", reason="mpi4py is not installed")
    program = tmp_path / "rank.py"  # a file, as the console script is: `python -c` would search the working directory too
    program.write_text(PROGRAM)
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, str(program)]
    warm = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert warm.returncode == 0, warm.stderr
    trace = tmp_path / "trace"
    watch = [strace, "-f", "-qq", "-e", "trace=%file,getdents64", "-o", str(trace), *command]
    done = subprocess.run(watch, env=environment, capture_output=True, text=True, check=False)
    if done.returncode and "ptrace" in done.stderr:
        pytest.skip(f"strace may not trace here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    counted = file_calls(trace.read_text(errors="replace"))
    assert 1000 < counted <= FILE_CALLS


@pytest.mark.parametrize(("module", "adds"), [("pandas", 500), ("xarray", 1000)])
def test_the_count_sees_what_the_analysis_stack_would_cost(module, adds, tmp_path):
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("no strace: apt-get install strace")
    pytest.importorskip(module, reason=f"{module} is not installed")
    counts = []
    for code in ("import numpy", f"import numpy, {module}"):
        trace = tmp_path / "trace"
        command = [strace, "-f", "-qq", "-e", "trace=%file,getdents64", "-o", str(trace), sys.executable, "-c", code]
        subprocess.run(command, capture_output=True, check=True)
        counts.append(file_calls(trace.read_text(errors="replace")))
    assert counts[1] > counts[0] + adds


RANK = """
import atexit, json, os, sys
from pathlib import Path
from felsina.jobs import cli

def dump():
    rank = os.environ.get("PMI_RANK", "0")
    names = sorted({name.split(".")[0] for name, module in sys.modules.items() if module is not None})
    Path(sys.argv[1], f"modules-{rank}.json").write_text(json.dumps(names))

atexit.register(dump)
sys.exit(cli.main(sys.argv[2:]))
"""


def test_no_rank_imports_the_analysis_stack_and_only_the_root_the_readers(tiny_city, tmp_path):
    pytest.importorskip("mpi4py", reason="mpi4py is not installed")
    launcher = Path(sys.executable).with_name("mpiexec")
    if not launcher.exists():
        pytest.skip("no mpiexec in this environment: install felsina[mpi]")
    (tmp_path / "rank.py").write_text(RANK)
    options = ["--set", "heatwave.days=1", "--set", "heatwave.spin_up_days=0", "--no-report", "--threads", "1"]
    options += ["--set", "imagery.rgbn=[]"]  # every rank reads the pixels over its rows
    command = [str(launcher), "-n", "2", sys.executable, str(tmp_path / "rank.py"), str(tmp_path), "run", str(tiny_city)]
    done = subprocess.run(
        [*command, "--out", str(tmp_path / "run"), *options], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    root, other = (set(json.loads((tmp_path / f"modules-{r}.json").read_text())) for r in (0, 1))
    assert "h5py" in other and "numba" in other
    assert not other & (ANALYSIS | READERS)
    # pyogrio imports pandas wherever it finds it: one rank may pay for the one that reads the footprints.
    assert not root & (ANALYSIS - {"pandas"})
    assert "pyogrio" in root or "pandas" not in root
