"""What the compiled GPU drivers may take: one table, held by a test.

`PYTHONPATH=tests/gpu:tests/gpu/stand_in python -m gpu_twins.budgets` writes it anew.
"""

from __future__ import annotations

import csv
import re
from pathlib import Path

from felsina.kernels._gpu import GpuKernel
from gpu_twins.every_case import DRIVERS, identifier
from gpu_twins.ptx import Instruction, read

TABLE = Path(__file__).resolve().parent.parent / "budgets.csv"
ARCHITECTURES = ((8, 0), (9, 0))
LIMITS = ("registers", "stack", "shared", "instructions")
COLUMNS = ("kernel", "type", "architecture", *LIMITS, "double", "local", "approximate")
Row = dict[str, str]


def measured(kernel: GpuKernel, kind: str, architecture: tuple[int, int]) -> dict[str, int]:
    """Return what a compiled driver takes; instructions are those of its PTX with all that it calls."""
    taken = kernel.resources(architecture, kind)
    code = read(kernel.ptx(architecture, kind), kernel.entry(kind))
    taken["instructions"] = sum(isinstance(i, Instruction) and i.opcode != "enter" for i in code.items)
    return taken


# libdevice's f64 logarithm and arcsine begin with a reciprocal or a root of 20 bits or so, and refine it by Newton steps.
SEEDS = ("rcp.approx.ftz.f64", "rsqrt.approx.ftz.f64")


def approximations(kernel: GpuKernel, kind: str, architecture: tuple[int, int]) -> set[str]:
    """Return the instructions that approximate or flush subnormal numbers."""
    found = re.findall(r"^\s*(?:@!?%p\d+\s+)?(\w+\S*\.(?:approx|full|ftz)\b\S*)", kernel.ptx(architecture, kind), re.MULTILINE)
    return set(found)


def surprises(kernel: GpuKernel, kind: str, architecture: tuple[int, int]) -> dict[str, str]:
    """Return the statements that need a reason.

    By column: double precision where the driver takes none, memory for registers that are indexed, approximations.
    """
    text = kernel.ptx(architecture, kind)
    found = {}
    has_double = kind == "f8" or any(w.startswith(("f8", "i8", "u8")) for w in kernel.words)
    for column, pattern in (
        ("double", r".*\.f64.*"),
        ("local", r"\.local.*"),
        ("approximate", r".*\.(?:approx|full|ftz)\b.*"),
    ):
        if column == "double" and has_double:
            continue
        if statement := re.search(rf"^\s*({pattern});", text, re.MULTILINE):
            found[column] = statement[1].strip()
    return found


def table() -> dict[tuple[str, str, str], Row]:
    """Return the budgets by kernel, type and architecture."""
    with TABLE.open(newline="", encoding="utf-8") as file:
        return {(r["kernel"], r["type"], r["architecture"]): r for r in csv.DictReader(file)}


def write() -> None:
    """Write the table as measured; reasons are kept, and those that are missing are left for the author."""
    before = table() if TABLE.exists() else {}
    rows = []
    for kernel, kind in sorted(DRIVERS, key=lambda d: identifier(*d)):
        for architecture in ARCHITECTURES:
            key = (kernel.name, kind, f"sm_{architecture[0]}{architecture[1]}")
            taken, odd = measured(kernel, kind, architecture), surprises(kernel, kind, architecture)
            row: dict[str, object] = dict(zip(("kernel", "type", "architecture"), key, strict=True))
            row.update({name: taken[name] for name in LIMITS})
            for column in ("double", "local", "approximate"):
                given = before.get(key, {}).get(column, "")
                row[column] = given if column in odd else ""
            rows.append(row)
    with TABLE.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    write()
