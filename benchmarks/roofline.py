"""What a GPU should do with each kernel, from the bytes and operations that it needs; and what it does, where there is one.

    python benchmarks/roofline.py            the table: CPU measured, A100 and H100 predicted
    python benchmarks/roofline.py --write    the same, written to docs/reference-kernels.md and roofline.csv
    python benchmarks/roofline.py --measure  on a GPU: measured against predicted, and GPU = CPU within the bound

A prediction is the longest of these times: the bytes that have to pass (each array once, from the formula) at `SUSTAINED` of
the memory's rate; the instructions that the compiled PTX executes at the rate of the schedulers; its f32 and f64 operations at
the rate of their units. The PTX is counted by running it on a small input. Latency is in none of it: where the registers leave
few warps, or a launch has few elements, the card will be slower. The CPU's share of the roofline is measured: the same bytes
over the time of the CPU driver, against the triad of the same run.

A case that names no work is counted by thread, with the bytes of the 32-byte sectors that its PTX touches.
"""

from __future__ import annotations

import argparse
import csv
import platform
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numba
import numpy as np
from triad import triad_bandwidth

HERE = Path(__file__).resolve().parent
TWINS = HERE.parent / "tests" / "gpu"  # the cases, and the interpreter that counts
PAGE = HERE.parent / "docs" / "reference-kernels.md"
COUNTED = HERE / "roofline.csv"  # what `--write` counted, for machines that measure
COLUMNS = ("driver", "bytes", "flops", "accessed", "instructions", "f32", "f64")
COUNTING_SCALE = 4  # of the inputs on which the PTX is counted: threads beyond the edge weigh little
SUSTAINED = 0.9  # of the memory's nominal rate: what stream copies reach on A100 and H100 (from memory)
CPU_ELEMENTS = 2_000_000  # of a timed run at most, so that the whole table takes minutes


@dataclass(frozen=True)
class Accelerator:
    """A GPU as the model knows it; rates per multiprocessor and clock."""

    name: str
    architecture: tuple[int, int]
    multiprocessors: int
    clock: float  # Hz
    memory: float  # B s-1
    f32: float
    f64: float
    issue: float
    registers: int
    warps: int
    blocks: int
    shared: int  # B

    def occupancy(self, kernel: Any, resources: dict[str, int]) -> float:
        """Return the share of the warps that registers, shared memory and block size leave."""
        threads = int(np.prod(kernel.block))
        warps = -(-threads // 32)
        per_warp = -(-max(resources["registers"], 1) * 32 // 256) * 256  # registers are given out by 256
        limits = [self.blocks, self.warps // warps, self.registers // (per_warp * warps)]
        if resources["shared"]:
            limits.append(self.shared // (resources["shared"] + 1024))
        return min(limits) * warps / self.warps

    def predicted(self, count: Counted) -> tuple[float, str]:
        """Return elements per second, and what limits them."""
        lanes = self.multiprocessors * self.clock
        times = {
            "memory": count.bytes / (SUSTAINED * self.memory),
            "instructions": count.instructions / (lanes * self.issue),
            "f32": count.f32 / (2.0 * lanes * self.f32),
            "f64": count.f64 / (2.0 * lanes * self.f64),
        }
        limit = max(times, key=lambda name: times[name])
        return 1.0 / times[limit], limit


@dataclass(frozen=True)
class Counted:
    """Costs of one element: bytes and operations by the formula; what the PTX accesses and does (an fma is two operations)."""

    bytes: float
    flops: float
    accessed: float  # B
    instructions: float
    f32: float
    f64: float


def accelerators() -> list[Accelerator]:
    """Read the table of cards."""
    return [
        Accelerator(
            r["name"],
            (int(r["compute_capability"][0]), int(r["compute_capability"][2])),
            int(r["multiprocessors"]),
            float(r["clock_ghz"]) * 1e9,
            float(r["memory_gb_s"]) * 1e9,
            float(r["f32_per_clock"]),
            float(r["f64_per_clock"]),
            float(r["issue_per_clock"]),
            int(r["registers"]),
            int(r["warps"]),
            int(r["blocks"]),
            int(r["shared_kb"]) * 1024,
        )
        for r in _read(HERE / "accelerators.csv")
    ]


def _read(path: Path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def this_device() -> Accelerator:
    """Return the card of this machine, from what its driver says."""
    import cupy

    p = cupy.cuda.runtime.getDeviceProperties(cupy.cuda.runtime.getDevice())
    architecture = (int(p["major"]), int(p["minor"]))
    like = max((a for a in accelerators() if a.architecture <= architecture), key=lambda a: a.architecture)
    return Accelerator(
        p["name"].decode(), architecture, p["multiProcessorCount"], p["clockRate"] * 1e3,
        2.0 * p["memoryClockRate"] * 1e3 * p["memoryBusWidth"] / 8, like.f32, like.f64, like.issue, like.registers, like.warps,
        like.blocks, like.shared,
    )  # fmt: skip


@contextmanager
def time_in_kernels() -> Iterator[list[float]]:
    """Collect the seconds that this thread spends inside the package of kernels, and not in making inputs."""
    import felsina.kernels

    inside = str(felsina.kernels.__path__[0])
    spent, depth, start = [0.0], 0, 0.0

    def watch(frame: Any, event: str, _: Any) -> None:
        nonlocal depth, start
        if event not in ("call", "return") or not frame.f_code.co_filename.startswith(inside):
            return
        if event == "call":
            depth += 1
            if depth == 1:
                start = time.process_time()
        elif depth:
            depth -= 1
            if depth == 0:
                spent[0] += time.process_time() - start

    sys.setprofile(watch)
    try:
        yield spent
    finally:
        sys.setprofile(None)


def cpu_rate(case: Any, repeats: int = 3) -> float:
    """Return the elements per second and thread of the CPU driver."""
    scale = 1
    while 2 * scale <= case.scale and case.work.elements(2 * scale) <= CPU_ELEMENTS:
        scale *= 2
    case.run(np.random.default_rng(1), scale, lambda values: values)
    times = []
    for _ in range(repeats):
        with time_in_kernels() as spent:
            case.run(np.random.default_rng(1), scale, lambda values: values)
        times.append(spent[0])
    return float(case.work.elements(scale) / min(times) / numba.get_num_threads())


def counted(case: Any, architecture: tuple[int, int]) -> tuple[Counted, float]:
    """Run the PTX of a case on a small input; return the cost of an element, and the difference from the CPU by the bound."""
    from gpu_twins.harness import difference, on_cpu, on_device
    from gpu_twins.interpreter import Counts, use_interpreter

    counts: dict[str, Counts] = {}
    with use_interpreter(architecture):
        found = difference(case, on_cpu(case), on_device(case))
    with use_interpreter(architecture, counts=counts):
        on_device(case, scale=COUNTING_SCALE)
    of = [counts[kernel.entry(kind)] for kernel, kind in case.kernels]
    n = case.work.elements(COUNTING_SCALE) if case.work else sum(c.threads for c in of)

    def each(*names: str) -> float:
        return float(sum(getattr(c, name) for c in of for name in names) / n)

    done = each("bytes_loaded", "bytes_stored"), each("instructions"), each("flops_f32"), each("flops_f64")
    if case.work:
        return Counted(case.work.bytes, case.work.flops, *done), found
    return Counted(32.0 * each("sectors_loaded", "sectors_stored"), done[2] + done[3], *done), found


def name_of(case: Any) -> str:
    """Return the drivers of a case and their T."""
    from gpu_twins.every_case import identifier

    return " + ".join(identifier(kernel, kind) for kernel, kind in case.kernels)


def gpu_rate(case: Any, repeats: int = 5) -> float:
    """Return the elements per second of the launches of a case on this machine's GPU, by its own clock."""
    import cupy

    from felsina.kernels._gpu import GpuKernel

    plain, events = GpuKernel.__call__, []

    def timed(self: Any, extent: tuple[int, ...], *arguments: Any) -> None:
        pair = cupy.cuda.Event(), cupy.cuda.Event()
        pair[0].record()
        plain(self, extent, *arguments)
        pair[1].record()
        events.append(pair)

    case.run(np.random.default_rng(1), case.scale, cupy.asarray)  # loads the machine code
    GpuKernel.__call__ = timed  # type: ignore[method-assign]
    times = []
    try:
        for _ in range(repeats):
            events.clear()
            case.run(np.random.default_rng(1), case.scale, cupy.asarray)
            cupy.cuda.runtime.deviceSynchronize()
            times.append(sum(cupy.cuda.get_elapsed_time(a, b) for a, b in events) / 1e3)
    finally:
        GpuKernel.__call__ = plain  # type: ignore[method-assign]
    return float(case.work.elements(case.scale) / min(times))


@dataclass(frozen=True)
class Row:
    """What the table says of one driver."""

    name: str
    unit: str
    work: Counted
    cpu: float | None  # elements per second and thread
    share: float | None  # of the triad
    registers: int
    occupancy: float
    difference: float  # of the bound
    predicted: list[tuple[float, str]]  # by card


def survey() -> Iterator[Row]:
    """Measure the CPU driver and predict the GPU's for every driver."""
    from gpu_twins.every_case import CASES

    cards, seen = accelerators(), set()
    for case in sorted(CASES.values(), key=lambda c: (len(c.kernels), c.work is None)):
        if seen.issuperset(case.kernels):
            continue
        seen.update(case.kernels)
        count, off = counted(case, cards[0].architecture)
        triad = triad_bandwidth(5_000_000)
        rate = cpu_rate(case) if case.work else None
        resources = [(kernel, kernel.resources(cards[0].architecture, kind)) for kernel, kind in case.kernels]
        yield Row(
            name_of(case),
            case.work.unit if case.work else "thread",
            count,
            rate,
            None if rate is None else count.bytes * rate / triad,
            max(r["registers"] for _, r in resources),
            min(cards[0].occupancy(kernel, r) for kernel, r in resources),
            off,
            [card.predicted(count) for card in cards],
        )


def table(rows: list[Row]) -> list[str]:
    """Return the lines of the table in Markdown."""
    head = [
        "driver",
        "element",
        "B",
        "B by PTX",
        "flop",
        "by PTX",
        "instructions",
        "CPU, 1/s",
        "of triad",
        "registers",
        "warps",
    ]
    head += ["PTX = CPU", *(f"{card.name}, 1/s" for card in accelerators())]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for r in sorted(rows, key=lambda row: row.name):
        w = r.work
        cells = [
            f"`{r.name}`", r.unit, *(f"{v:.3g}" for v in (w.bytes, w.accessed, w.flops, w.f32 + w.f64)),
            f"{w.instructions:.0f}", "" if r.cpu is None else f"{r.cpu:.2g}", "" if r.share is None else f"{r.share:.2f}",
            str(r.registers),
            f"{r.occupancy:.0%}", f"{r.difference:.2g}", *(f"{rate:.2g} ({limit})" for rate, limit in r.predicted),
        ]  # fmt: skip
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def write(rows: list[Row]) -> None:
    """Write the page of the documentation, and what was counted."""
    lines = [
        "# Kernels: CPU measured, GPU predicted",
        "",
        "Written by `python benchmarks/roofline.py --write`. **The columns of the GPUs are predicted, none is measured:** no",
        "driver has run on a GPU yet. Where there is one, `--measure` prints measured against predicted.",
        "",
        "- *B* and *flop*: what one element needs by the formula, each array once; *by PTX*: what the compiled code (sm_80)",
        "  loads, stores and computes, most of it from caches. *instructions*: of the compiled code, executed on small inputs.",
        f"- *CPU*: elements per second of one thread of {_processor()}. *of triad*: its bytes over those of a stream",
        "  triad in the same run; above 1 where arrays stayed in the caches.",
        "- *registers* and *warps*: of the machine code for sm_80, and the share of a multiprocessor's warps that they leave.",
        "- *PTX = CPU*: largest difference of the executed PTX from the CPU driver, as a share of the case's bound.",
        f"- predicted: the longest of the bytes at {SUSTAINED:.0%} of the memory's rate, the instructions at the rate of the",
        "  schedulers, and the operations at that of the units; in brackets what limits. Latency and transfers are left out.",
        "",
        *table(rows),
        "",
        "Sources of the cards' figures: `benchmarks/accelerators.csv`.",
    ]
    PAGE.write_text("\n".join(lines) + "\n", encoding="utf-8")
    with open(COUNTED, "w", newline="", encoding="utf-8") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(COLUMNS)
        for r in sorted(rows, key=lambda row: row.name):
            w = r.work
            out.writerow([r.name, *(f"{v:.6g}" for v in (w.bytes, w.flops, w.accessed, w.instructions, w.f32, w.f64))])


def measure() -> int:
    """On a GPU: time every driver, and compare with prediction and CPU; return how many are out of their bound."""
    from gpu_twins.every_case import CASES
    from gpu_twins.harness import difference, on_cpu, on_device

    card, wrong = this_device(), 0
    known = {r["driver"]: Counted(*(float(r[name]) for name in COLUMNS[1:])) for r in _read(COUNTED)}
    print(f"{card.name}, sm_{card.architecture[0]}{card.architecture[1]}; the last column is 1 at the bound")
    print(f"{'driver':<60} {'measured, 1/s':>14} {'predicted, 1/s':>14} {'share':>6} {'GPU = CPU':>10}")
    for case in CASES.values():
        off = max(difference(case, on_cpu(case, scale=s), on_device(case, scale=s)) for s in sorted({1, min(case.scale, 8)}))
        wrong += off > 1.0
        name, speed = name_of(case), f"{'':>14} {'':>14} {'':>6}"
        if case.work and name in known:
            rate, predicted = gpu_rate(case), card.predicted(known[name])[0]
            speed = f"{rate:>14.3g} {predicted:>14.3g} {rate / predicted:>6.2f}"
        print(f"{name if len(name) < 60 else case.name:<60} {speed} {off:>10.2g}{'  OUT OF BOUND' if off > 1.0 else ''}")
    print(f"{len(CASES)} cases, {wrong} out of their bound")
    return wrong


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if Path("/proc/cpuinfo").exists() else []:
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write the page of the documentation")
    parser.add_argument("--measure", action="store_true", help="run on this machine's GPU")
    options = parser.parse_args()
    sys.path[:0] = [str(TWINS)] if options.measure else [str(TWINS), str(TWINS / "stand_in")]
    if options.measure:
        return min(measure(), 1)
    numba.set_num_threads(1)
    rows = list(survey())
    if options.write:
        write(rows)
    else:
        print("\n".join(table(rows)))
        print("The columns of the GPUs are predicted. PTX = CPU is a share of the bound.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
