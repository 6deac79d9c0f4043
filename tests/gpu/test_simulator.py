"""Kernels with atomics or shared memory give in numba's CUDA simulator what their CPU drivers give."""

import os
import subprocess
import sys
from pathlib import Path

from gpu_twins.every_case import DRIVERS, case_of, identifier

HERE = Path(__file__).resolve().parent


def works_together(kernel):
    names = set(kernel.cell.py_func.__code__.co_names)
    return bool(kernel.shared) or bool(names & {"atomic_add", "atomic_min", "atomic_max", "atomic_raise", "barrier"})


def test_threads_that_work_together_give_what_the_cpu_gives():
    drivers = [d for d in DRIVERS if works_together(d[0])]
    assert drivers
    cases = sorted({case_of(*d).name for d in drivers})
    environment = {**os.environ, "NUMBA_ENABLE_CUDASIM": "1", "PYTHONPATH": f"{HERE}:{HERE / 'stand_in'}"}
    done = subprocess.run(
        [sys.executable, "-m", "gpu_twins.simulate", *cases], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    ratios = {name: float(ratio) for name, ratio in (line.split() for line in done.stdout.splitlines())}
    assert set(ratios) == set(cases), [identifier(*d) for d in drivers]
    assert max(ratios.values()) <= 1, ratios
