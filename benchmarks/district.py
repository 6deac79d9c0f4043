"""Speed of the built-in district: laser pulses per core, and a whole district generated, scanned and written.

Targets on one thread: 1 Mpulse/s, and 12 s for 256 m. The reference is lazrs, which reads the same tiles. CPU time, so that
other work on the machine does not count.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import laspy
import numba
import numpy as np
from triad import best_time

from felsina.engine.district.scan import DENSITY
from felsina.engine.district.scene import build_district
from felsina.engine.io.district_files import write_district
from felsina.kernels.pointcloud.scanner import cast_pulses, scanner_of_density


def main() -> None:
    size = float(sys.argv[1]) if len(sys.argv) > 1 else 256.0
    numba.set_num_threads(1)
    district, scanner = build_district(size, 1), scanner_of_density(DENSITY)
    first = int(0.1 * size / scanner.scan_spacing)
    scan, mirror = np.meshgrid(np.arange(first, first + 300), np.arange(150, scanner.n_mirror), indexing="ij")
    pulses = np.zeros(scan.size, np.int64), scan.ravel(), mirror.ravel()
    rate = scan.size / best_time(lambda: cast_pulses(scanner, district.surface, 1, *pulses), 5)
    print(f"pulses: {rate / 1e6:.2f} M/s on one thread, target 1.00, ratio {rate / 1e6:.2f}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        seconds = best_time(lambda: write_district(folder, size, 1), 2)
        tiles = sorted((folder / "tiles").iterdir())
        n = sum(laspy.open(t).header.point_count for t in tiles)
        read = best_time(lambda: [laspy.read(t, laz_backend=laspy.LazBackend.Lazrs) for t in tiles], 3)
    allowed = 12.0 * (size / 256.0) ** 2
    print(f"{size:g} m: {len(district.buildings)} buildings, {n:,} points, {seconds:.2f} s, target {allowed:.1f}", end=", ")
    print(f"ratio {seconds / allowed:.2f}; lazrs reads the tiles in {read:.2f} s ({n / read / 1e6:.1f} Mpts/s)")


if __name__ == "__main__":
    main()
