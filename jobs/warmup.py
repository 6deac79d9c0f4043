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
from felsina.jobs.run import CHAIN, run_chain

_SIZE_M = 96.0  # the smallest district that has a building of every kind of job to do


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `felsina warmup`: none of its own."""


def main(options: argparse.Namespace) -> int:
    """Run the chain on a district that is thrown away."""
    from felsina.engine.machine import allow_compilation, describe_machine

    allow_compilation()
    start = time.perf_counter()
    level = LOGGER.level
    LOGGER.setLevel(logging.WARNING if not options.verbose else level)
    with tempfile.TemporaryDirectory(prefix="felsina-warmup-") as folder:
        compile_all(Path(folder))
    LOGGER.setLevel(level)
    if not options.quiet:
        print(f"Kernels ready in {time.perf_counter() - start:.1f} s: {describe_machine()['kernel_cache']}.")
    return 0


def compile_all(folder: Path) -> None:
    """Run every job, with and without point classes, and `classify`, in a folder."""
    from felsina.engine.io.district_files import write_district
    from felsina.jobs.classify import classify_files

    source = write_district(folder / "input", _SIZE_M, 1)
    for name, overrides in (("classes", ["energy.hourly=true"]), ("plain", ["points.use_classes=false"])):
        city = read_city(source, [*overrides, "heatwave.days=1", "heatwave.spin_up_days=0"])
        run_chain(city, World.serial(), list(CHAIN) if name == "classes" else ["terrain", "buildings"], folder / name)
    classify_files(sorted((folder / "input" / "tiles").glob("*.laz")), folder / "classified")
