"""Speed and memory of `felsina buildings`: all levels of detail, end to end, on one and two ranks, small and large.

    python benchmarks/buildings.py [--size 1450] [--density 8] [--repeats 2] [--folder KEEP] [--profile]
    FELSINA_DATA=<folder> python benchmarks/buildings.py --delft

A district of about 2,000 buildings is scanned (once, where --folder is kept), its terrain made once, and the buildings built
anew each time. Targets: 60 buildings/s per core end to end, 120 aimed at; two ranks at least 1.8 times as fast as one; a peak
of memory that does not grow with the points, and little with the buildings; no building above 0.5 s. The best of the repeats
counts, for others use the machine; so that their load is seen, a loop in Python is timed alone and beside a copy of itself:
twice the ratio is the most that two ranks could gain at that moment.
"""

from __future__ import annotations

import argparse
import json
import os
import pstats
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

TARGET, AIM, GAIN, SLOWEST_S = 60.0, 120.0, 1.8, 0.5
DELFT = Path(__file__).resolve().parents[1] / "examples" / "delft" / "city.toml"
CITY = """[city]
name = "district"
crs = "EPSG:7791"
[points]
files = ["tiles/*.laz"]
[footprints]
file = "buildings.gpkg"
id = "building_id"
"""
LOOP = "import time\nstart = time.perf_counter()\nfor _ in range(20_000_000): pass\nprint(time.perf_counter() - start)"


def write_scene(folder: Path, size_m: float, density: float) -> Path:
    """Write points and footprints of a district, unless they are there; return its city file."""
    from felsina.engine.district.scan import scan_tile, tile_windows
    from felsina.engine.district.scene import build_district
    from felsina.engine.io.district_files import write_buildings, write_tile
    from felsina.kernels.pointcloud.scanner import scanner_of_density

    city = folder / "city.toml"
    if not city.exists():
        (folder / "tiles").mkdir(parents=True, exist_ok=True)
        district, scanner = build_district(size_m, 1), scanner_of_density(density)
        for k, window in enumerate(tile_windows(size_m)):
            write_tile(folder / "tiles" / f"{k:04d}.laz", scan_tile(district, window, scanner))
        write_buildings(folder / "buildings.gpkg", district)
        city.write_text(CITY, encoding="utf-8")
    return city


def felsina(ranks: int, *arguments: object, program: tuple[str, ...] = ("-m", "felsina.jobs.cli")) -> tuple[float, float]:
    """Run a verb in processes of its own; return wall-clock and CPU time of all of them [s]."""
    own = Path(sys.executable).with_name("mpiexec")
    launcher = [str(own if own.exists() else shutil.which("mpiexec")), "-n", str(ranks)] if ranks > 1 else []
    command = [*launcher, sys.executable, *program, *map(str, arguments)]
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, env={**os.environ, "NUMBA_NUM_THREADS": "1"}, capture_output=True, text=True, check=False)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr}")
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def job_of(run: Path, name: str = "buildings") -> dict[str, Any]:
    """Return what the record says of a job."""
    record: dict[str, Any] = json.loads((run / "run.json").read_text(encoding="utf-8"))["jobs"][name]
    return record


def most_gain() -> float:
    """Return how much more two processes do than one at this moment, 2 on two free cores."""

    def seconds(n: int) -> float:
        running = [subprocess.Popen([sys.executable, "-c", LOOP], stdout=subprocess.PIPE, text=True) for _ in range(n)]
        return max(float(p.communicate()[0]) for p in running)

    alone = seconds(1)
    return 2.0 * alone / seconds(2)


def measure(city: Path, run: Path, ranks: int, repeats: int) -> dict[str, Any]:
    """Build the buildings of a scene anew several times; return the record of the quickest, with `wall`, `cpu` and `gain`."""
    best: dict[str, Any] = {}
    for _ in range(repeats):
        gain = most_gain() if ranks > 1 else 1.0
        wall, cpu = felsina(ranks, "buildings", city, "--out", run, "--force", "--threads", 1, "-q")
        job = job_of(run) | {"wall": wall, "cpu": cpu, "gain": gain}
        if not best or job["seconds"] < best["seconds"]:
            best = job
    return best


def show(title: str, job: dict[str, Any], ranks: int) -> None:
    """Print rate, parts and memory of a job."""
    n, seconds = job["metrics"]["rows"], job["seconds"]
    rate = n / seconds / ranks
    parts = ", ".join(f"{p} {'/'.join(f'{v:.2f}' for v in t)}" for p, t in job["timings_s"].items())
    told = sum(max(t) for t in job["timings_s"].values())
    print(f"{title}, {ranks} rank{'s' * (ranks > 1)}: {n:,} buildings in {seconds:.2f} s, {rate:.0f} a second and core", end="")
    print(f" (target {TARGET:.0f}, ratio {rate / TARGET:.2f}; aim {AIM:.0f})", end="; ")
    print(f"whole process {job['wall']:.1f} s wall, {job['cpu']:.1f} s CPU")
    print(f"  parts [s by rank]: {parts}; rest {seconds - told:.2f}; peak memory [MB by rank]: {job['peak_memory_mb']}")


def profile(city: Path, run: Path, folder: Path) -> None:
    """Print where the time of one rank goes."""
    path = folder / "profile"
    felsina(
        1, "buildings", city, "--out", run, "--force", "--threads", 1, "-q",
        program=("-m", "cProfile", "-o", str(path), "-m", "felsina.jobs.cli"),
    )  # fmt: skip
    for order, pattern in (("cumulative", "jobs/buildings|processes|io/|engine/footprints"), ("tottime", "")):
        pstats.Stats(str(path)).sort_stats(order).print_stats(*([pattern] if pattern else []), 45)


def slowest_building(city: Path, run: Path) -> tuple[float, float]:
    """Return the longest and the mean CPU time of reconstructing one building [s]; the first 16 load code and do not count."""
    code = (
        "import sys, time\nfrom felsina.engine.processes import roof_models as m\nkept, took = m.reconstruct, []\n"
        "def timed(*a, **k):\n    s = time.process_time()\n    r = kept(*a, **k)\n    took.append(time.process_time() - s)\n"
        "    return r\nm.reconstruct = timed\nfrom felsina.jobs.cli import main\ncode = main(sys.argv[2:])\n"
        "open(sys.argv[1], 'w').write(f'{max(took[16:])} {sum(took[16:]) / len(took[16:])}')\nsys.exit(code)\n"
    )
    with tempfile.TemporaryDirectory() as name:
        out = Path(name) / "took"
        felsina(1, out, "buildings", city, "--out", run, "--force", "--threads", 1, "-q", program=("-c", code))
        longest, mean = map(float, out.read_text().split())
    return longest, mean


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--size", type=float, default=1450.0, help="edge of the district [m]")
    parser.add_argument("--density", type=float, default=8.0, help="pulses per square metre")
    parser.add_argument("--repeats", type=int, default=2, help="runs of each kind; the best counts")
    parser.add_argument("--folder", type=Path, help="where scenes and runs stay")
    parser.add_argument("--profile", action="store_true", help="profile one rank instead")
    parser.add_argument("--delft", action="store_true", help="the block of Delft in FELSINA_DATA instead")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = options.folder or Path(name)
        sizes = [options.size, options.size / 10**0.5]
        scenes: list[tuple[str, Callable[[], Path]]] = []
        for size in sizes:
            place = folder / f"scene_{size:.0f}_{options.density:g}"
            scenes.append((f"{size:.0f} m", partial(write_scene, place, size, options.density)))
        if options.delft:
            scenes = [("Delft", partial(Path, DELFT))]
        jobs = []
        for title, city_of in scenes[: 1 if options.profile else None]:
            city = city_of()
            run = folder / f"run_{city.parent.name}"
            if not (run / "terrain.nc").exists():
                felsina(1, "terrain", city, "--out", run, "-q")
            felsina(
                1, "buildings", city, "--out", run, "--force", "--threads", 1, "-q"
            )  # compiles, or fills the cache of files
            if options.profile:
                profile(city, run, folder)
                return
            one, two = (measure(city, run, ranks, options.repeats) for ranks in (1, 2))
            show(title, one, 1)
            show(title, two, 2)
            gain = one["seconds"] / two["seconds"]
            print(f"  two ranks: {gain:.2f} times as fast, target {GAIN}, ratio {gain / GAIN:.2f}", end="; ")
            print(f"two loops gained {two['gain']:.2f}")
            longest, mean = slowest_building(city, run)
            print(f"  slowest building {longest:.3f} s, target {SLOWEST_S}, ratio {longest / SLOWEST_S:.2f}", end="; ")
            print(f"mean {1e3 * mean:.1f} ms")
            jobs.append(one)
        if len(jobs) == 2:
            n = [j["metrics"]["rows"] for j in jobs]
            more = [max(j["peak_memory_mb"]) for j in jobs]
            each = 1e3 * (more[0] - more[1]) / (n[0] - n[1])
            print(f"memory: {more[1]:.0f} MB at {n[1]:,}, {more[0]:.0f} MB at {n[0]:,} buildings: {each:.0f} kB a building")


if __name__ == "__main__":
    main()
