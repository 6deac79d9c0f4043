"""Ingest: points a second of a full read beside lazrs' own decompression of the same file, and what a second rank adds.

    FELSINA_DATA=<folder> python benchmarks/ingest.py
    FELSINA_DATA=<folder> mpiexec -n 2 python benchmarks/ingest.py

The first AHN3 tile of Delft (point format 1). A full read: decompress, millimetres in the frame of a grid, classes, flags, no
noise. lazrs alone decompresses into one buffer and looks at nothing. Processor seconds of one thread, best of several, the
two taken in turn so that a busy machine slows both; target 90 %. On several ranks: wall seconds of all points read by all ranks
against those of one rank reading all while the others wait, best of several; target 1.8 on two ranks.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("RAYON_NUM_THREADS", "1")

import laspy
import lazrs
import numpy as np

from felsina.engine.grid import Grid
from felsina.engine.io.las import PointFile, read_chunks, scan_headers
from felsina.engine.parallel.world import World
from felsina.engine.processes.ingest import ingest

REPEATS = 7


def decompress(path: Path) -> int:
    """Decompress a file with lazrs into one buffer and return the number of points."""
    with open(path, "rb") as stream:
        header = laspy.LasHeader.read_from(stream)
        stream.seek(header.offset_to_point_data)
        buffer = np.empty(header.point_count * header.point_format.size, np.uint8)
        lazrs.LasZipDecompressor(stream, header.vlrs.get("LasZipVlr")[0].record_data).decompress_many(buffer)
        return int(header.point_count)


def read(file: PointFile, grid: Grid) -> int:
    """Read a file as the terrain job does and return the number of points kept."""
    return sum(len(p) for p in read_chunks(file, 0, file.count, (grid.west, grid.north)))


def seconds(run: Callable[[], object], clock: Callable[[], float]) -> float:
    """Return how long one run takes [s]."""
    start = clock()
    run()
    return clock() - start


def main() -> int:
    """Print both speeds and their ratio."""
    path = Path(os.environ.get("FELSINA_DATA", "../shared/data")) / "lidar/3dfier_delft_ahn3/ahn3_cropped_1.laz"
    if not path.is_file():
        print(f"There is no file '{path}'; set FELSINA_DATA to the folder of real data.", file=sys.stderr)
        return 2
    world = World.launched()
    file = world.on_root(lambda: scan_headers([path], "EPSG:28992"))[0]
    assert file.bounds is not None
    grid = Grid.covering(file.crs, file.bounds, 0.5)
    if world.size == 1:
        ours, theirs = [], []
        for _ in range(REPEATS):
            theirs.append(seconds(lambda: decompress(path), time.process_time))
            ours.append(seconds(lambda: read(file, grid), time.process_time))
        a, b = file.count / min(ours) / 1e6, file.count / min(theirs) / 1e6
        print(f"{path.name}, {file.count:,} points, one thread, processor time:")
        print(f"  felsina {a:.2f} Mpts/s, lazrs {b:.2f} Mpts/s, ratio {100 * a / b:.0f} % (target 90 %)")
        return 0
    files = [file] * 4  # enough chunks for equal shares
    alone, together = [], []
    for _ in range(REPEATS):
        world.barrier()
        if world.is_root:
            alone.append(seconds(lambda: ingest(World.serial(), files, grid, lambda points: None), time.perf_counter))
        world.barrier()
        together.append(
            max(world.allgather(seconds(lambda: ingest(world, files, grid, lambda points: None), time.perf_counter)))
        )
    if world.is_root:
        n = sum(f.count for f in files)
        print(f"{n:,} points on {world.size} ranks, wall time: {n / min(together) / 1e6:.2f} Mpts/s;", end=" ")
        print(f"on one {n / min(alone) / 1e6:.2f} Mpts/s; speed-up {min(alone) / min(together):.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
