"""The table of predictions holds every driver, and its arithmetic is that of a roofline."""

from __future__ import annotations

import csv
import importlib.util
import sys
from pathlib import Path

import pytest
from gpu_twins.every_case import KERNELS, identifier

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def roofline():
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        spec = importlib.util.spec_from_file_location("roofline", ROOT / "benchmarks" / "roofline.py")
        module = importlib.util.module_from_spec(spec)
        sys.modules["roofline"] = module
        spec.loader.exec_module(module)
        yield module
    finally:
        sys.path.remove(str(ROOT / "benchmarks"))


def test_every_driver_is_in_the_table_of_predictions():
    page = (ROOT / "docs" / "reference-kernels.md").read_text(encoding="utf-8")
    missing = [identifier(k, t) for k in KERNELS.values() for t in k.types if f"{identifier(k, t)}" not in page]
    assert missing == [], "python benchmarks/roofline.py --write"


def test_the_page_says_that_nothing_of_a_gpu_was_measured():
    page = (ROOT / "docs" / "reference-kernels.md").read_text(encoding="utf-8")
    assert "predicted, none is measured" in page


def test_what_was_counted_is_kept_for_machines_that_measure(roofline):
    with open(roofline.COUNTED, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == roofline.COLUMNS
    assert all(float(r["instructions"]) > 0 and float(r["bytes"]) >= 0 for r in rows)


def test_a_prediction_is_that_of_the_scarcest_resource(roofline):
    a100 = next(a for a in roofline.accelerators() if a.architecture == (8, 0))
    copy = roofline.Counted(bytes=8.0, flops=0.0, accessed=8.0, instructions=1.0, f32=0.0, f64=0.0)
    assert a100.predicted(copy) == (pytest.approx(0.9 * 1640e9 / 8.0), "memory")
    heavy = roofline.Counted(bytes=8.0, flops=1e4, accessed=8.0, instructions=1.0, f32=0.0, f64=1e4)
    rate, limit = a100.predicted(heavy)
    # 11.2 Tflop/s in double precision.
    assert limit == "f64" and rate * 1e4 == pytest.approx(11.2e12, rel=0.01)


def test_registers_and_shared_memory_leave_the_warps_that_the_calculator_gives(roofline):
    a100 = next(a for a in roofline.accelerators() if a.architecture == (8, 0))

    class Kernel:
        block = (128,)

    def share(registers, shared=0):
        return a100.occupancy(Kernel, {"registers": registers, "shared": shared})

    # NVIDIA's occupancy calculator for compute capability 8.0 and blocks of 128 threads.
    assert share(32) == 1.0
    assert share(40) == 0.75
    assert share(64) == 0.5
    assert share(255) == 0.125
    assert share(32, shared=48 * 1024) == 3 * 4 / 64
