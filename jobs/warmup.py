"""Compile and cache every kernel once, by running the smallest district through all jobs on this kind of machine."""

from __future__ import annotations

import argparse
import logging
import tempfile
import time
from pathlib import Path

from felsina.engine.city import read_city
from felsina.engine.log import LOGGER
from felsina.engine.parallel.world import World
from felsina.engine.threads import use_threads
from felsina.jobs.run import CHAIN, run_chain

_SIZE_M = 128.0  # the smallest district whose jobs all have something to do, an arcade with a facade among it
_THREADS = 2  # also on a machine of one core: some kernels have a serial and a threaded driver
_FINE_M = 0.25  # cells so small that its rasters are large enough for the kernels that share a level among threads


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `felsina warmup`."""
    parser.add_argument(
        "--capability",
        action="append",
        default=[],
        metavar="X.Y",
        help="compile the GPU drivers for this compute capability too: 8.0 for an A100, 9.0 for an H100; no GPU is needed",
    )


def main(options: argparse.Namespace) -> int:
    """Run the chain on a district that is thrown away."""
    from felsina.engine.machine import allow_compilation, compile_gpu_drivers, describe_machine, gpu_architecture

    architectures = [gpu_architecture(c) for c in options.capability]
    use_threads(_THREADS)
    allow_compilation()
    start = time.perf_counter()
    level = LOGGER.level
    LOGGER.setLevel(logging.WARNING if not options.verbose else level)
    with tempfile.TemporaryDirectory(prefix="felsina-warmup-") as folder:
        compile_all(Path(folder))
    LOGGER.setLevel(level)
    for capability, architecture in zip(options.capability, architectures, strict=True):
        n = compile_gpu_drivers(architecture)
        if not options.quiet:
            print(f"{n} GPU drivers ready for compute capability {capability}.")
    if not options.quiet:
        print(f"Kernels ready in {time.perf_counter() - start:.1f} s: {describe_machine()['kernel_cache']}.")
    return 0


def compile_all(folder: Path) -> None:
    """Run every job, with all inputs and with points alone, and `classify`, in a folder."""
    from felsina.engine.io.district_files import write_district
    from felsina.jobs.classify import classify_files

    source = write_district(folder / "input", _SIZE_M, 1)
    # As little input as there may be: outlines are derived from points, land cover and classes are guessed.
    plain = ["points.use_classes=false", "footprints.file=''", "landcover.layers={}", f"terrain.resolution_m={_FINE_M}"]
    for name, overrides in (("classes", ["energy.hourly=true"]), ("plain", plain)):
        city = read_city(source, [*overrides, "heatwave.days=1", "heatwave.spin_up_days=0", f"execution.threads={_THREADS}"])
        run_chain(city, World.serial(), list(CHAIN) if name == "classes" else ["terrain", "buildings"], folder / name)
    classify_files(sorted((folder / "input" / "tiles").glob("*.laz")), folder / "classified")
