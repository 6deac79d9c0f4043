"""Speed of writing and publishing hourly maps, against plain h5py writing the same values with the same filters.

Prints CPU time of: handing regions to the writer, publishing without the check, checking, and the reference.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np

from felsina.engine.fields import fields_of
from felsina.engine.io.layout import FILTERS, GRID_CHUNK
from felsina.engine.io.quantise import quantise
from felsina.engine.io.results import ProductWriter
from felsina.engine.io.validate import validate_file
from felsina.engine.parallel.world import World

STEPS = 4


def main() -> None:
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 2048
    maps = temperatures(n)
    fields = [f for f in fields_of("microclimate").values() if f.required]
    values = sum(n * n * (STEPS if "time" in f.dims else 1) for f in fields) * 4 / 1e6
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        start = time.process_time()
        with h5py.File(folder / "plain.h5", "w", libver=("earliest", "v110")) as file:
            for f in fields:
                shape = (STEPS, n, n) if "time" in f.dims else (n, n)
                chunk = (*(1,) * (len(shape) - 2), min(n, GRID_CHUNK), min(n, GRID_CHUNK))
                dataset = file.create_dataset(f.name, shape, "f4", chunks=chunk, **FILTERS)
                for step in range(STEPS) if "time" in f.dims else (slice(None),):
                    dataset[step] = quantise(of_field(f.name, maps, step), f.quantum, np.dtype("f4"))
        reference = time.process_time() - start
        print(f"{values:.0f} MB of f4 in {n} x {n} cells; plain h5py {reference:.2f} s ({values / reference:.0f} MB/s)")
        for writer in ("gather", "virtual"):
            measure(folder, writer, n, fields, maps, values, reference)


def measure(folder, writer, n, fields, maps, values, reference) -> None:
    ends = np.datetime64("2015-07-15T00:00:00") + np.arange(1, STEPS + 1) * np.timedelta64(1, "h")
    made = ProductWriter(
        World.serial(),
        folder,
        "microclimate",
        dims={"time": STEPS, "y": n, "x": n},
        crs="EPSG:7791",
        coordinates={
            "x": 685_000.5 + np.arange(n),
            "y": 4_930_000.5 - np.arange(n),
            "time": ends,
            "time_bnds": np.stack([ends - np.timedelta64(1, "h"), ends], axis=1),
        },
        writer=writer,
    )
    start = time.process_time()
    for f in fields:
        for step in range(STEPS) if "time" in f.dims else (0,):
            made.write(f.name, of_field(f.name, maps, step), (step,) if "time" in f.dims else ())
    written = time.process_time()
    path = made.publish()
    published = time.process_time()
    assert validate_file(path) == []
    checked = time.process_time() - published
    total = published - start
    print(
        f"{writer}: write {written - start:.2f} s, publish {published - written - checked:.2f} s, check {checked:.2f} s: "
        f"{values / total:.0f} MB/s, {total / reference:.2f} times plain h5py; {values / (path.stat().st_size / 1e6):.1f}:1"
    )


def temperatures(n: int) -> np.ndarray:
    """Maps with large and small structure, noise, and buildings left out."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:n, 0:n].astype("f4")
    patches = np.repeat(np.repeat(rng.normal(0, 1, (n // 8, n // 8)), 8, 0), 8, 1)
    base = 30 + 2 * np.sin(y / 300) * np.cos(x / 410) + patches + rng.normal(0, 0.05, (n, n))
    base[base > 31.8] = np.nan
    return np.stack([base + k for k in range(STEPS)]).astype("f4")


def of_field(name: str, maps: np.ndarray, step: int | slice) -> np.ndarray:
    whole = maps[0 if isinstance(step, slice) else step]
    return np.clip(whole / 100, 0, 1) if name in ("sky_view_factor", "shadow_fraction") else np.maximum(whole, 0)


if __name__ == "__main__":
    main()
