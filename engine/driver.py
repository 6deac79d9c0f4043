"""Runs jobs in order on a city: what is finished and unchanged is skipped, what is made is recorded.

A job is a function of its context. It reads the products of earlier jobs, makes one product and returns its figures. What a
job depends on is declared beside it (`JobSpec`), so that `--resume` can tell by hashes whether its product still holds.
"""

from __future__ import annotations

import hashlib
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from felsina.engine import record as records
from felsina.engine.city import City, canonical_json
from felsina.engine.errors import MachineError, ProductError, UsageError
from felsina.engine.fields import PRODUCTS, SCHEMA_VERSION
from felsina.engine.log import LOGGER, Progress
from felsina.engine.parallel.device import CpuDevice, Device
from felsina.engine.parallel.world import World
from felsina.engine.record import Record
from felsina.engine.rundir import RunDirectory
from felsina.engine.version import __version__


@dataclass
class JobContext:
    """What a job gets: the city, the ranks, where kernels run, the run directory, and where to tell how it goes.

    `key` is the hash of all that the job depends on; `resume` says that unfinished work under this key is wanted.
    """

    city: City
    world: World
    device: Device
    run: RunDirectory
    record: Record
    job: str
    key: str
    resume: bool = False
    timings: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    @contextmanager
    def timer(self, name: str) -> Iterator[None]:
        """Add the wall time of a block to a named part of the job; what it started on a GPU is its own."""
        start = time.perf_counter()
        try:
            yield
            self.device.synchronise()
        finally:
            self.timings[name] += time.perf_counter() - start

    def progress(self, stage: str, total: int, unit: str) -> Progress:
        """Return the progress of a stage, shown on rank 0."""
        return Progress(f"{self.job}.{stage}", total, unit, self.world.rank)

    def note(self, text: str) -> None:
        """Log a remark and keep it in the record."""
        if self.world.is_root:
            self.record.note(text)
            LOGGER.info("%s", text)


@dataclass(frozen=True)
class JobSpec:
    """A job: its name, what it reads and makes, and the function that does it.

    `needs` are products that must be there; `uses` are read where they are there, and a change of theirs counts as well.
    """

    name: str
    product: str
    sections: tuple[str, ...]
    needs: tuple[str, ...]
    inputs: Callable[[City], list[Path]]
    run: Callable[[JobContext], dict[str, Any]]
    uses: tuple[str, ...] = ()


def open_run_directory(world: World, path: Path, *, jobs: Sequence[JobSpec], resume: bool, force: bool) -> RunDirectory:
    """Make the run directory, or refuse to write over what is there without being told.

    Raises
    ------
    UsageError
        When a product of these jobs exists and neither `resume` nor `force` was said.
    """

    def prepare() -> RunDirectory:
        run = RunDirectory(path)
        present = [run.product(j.product).name for j in jobs if run.product(j.product).exists()]
        if present and not (resume or force):
            raise UsageError(
                f"'{path}' already holds {', '.join(present)}. "
                "Use --resume to go on, --force to make them anew, or another --out."
            )
        if path.exists() and not path.is_dir():
            raise UsageError(f"'{path}' is a file, not a run directory. Choose another --out.")
        try:
            run.work.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise MachineError(f"'{path}' cannot be made: {error.strerror}. Choose another --out.") from error
        return run

    return world.on_root(prepare)


def run_jobs(
    city: City,
    world: World,
    run: RunDirectory,
    jobs: Sequence[JobSpec],
    *,
    device: Device | None = None,
    resume: bool = False,
    command: str = "",
) -> Record:
    """Run jobs in order, each recorded as soon as its product is published; kernels run on the processor without a device.

    Returns
    -------
    Record
        The record on rank 0, with one entry a job; on other ranks a copy that is not saved.
    """
    record = world.on_root(lambda: Record.load(run.path))
    device = device or CpuDevice()
    _begin(record, city, world, device, command)
    for job in jobs:
        key = job_key(job, city, world, run)
        if resume and world.on_root(lambda job=job, key=key: _is_current(record, job, key, run)):  # type: ignore[misc]
            if world.is_root:
                LOGGER.info("Skipped %s: finished before, and neither inputs nor options have changed.", job.name)
            continue
        if world.is_root:
            record.values["jobs"].pop(job.name, None)
            record.save()
        context = JobContext(city, world, device, run, record, job.name, key, resume)
        start = time.perf_counter()
        with device.guard(f"what the job '{job.name}' works with"):
            metrics = job.run(context)
        seconds = time.perf_counter() - start
        _finish(context, job, key, seconds, metrics)
    return record


def scientific_config(job: JobSpec, city: City, upstream: Sequence[JobSpec]) -> dict[str, Any]:
    """Return the options that may change a job's product: its own sections and those of the jobs it stands on."""
    sections = set(job.sections)
    by_product = {j.product: j for j in upstream}
    queue = list(job.needs)
    while queue:
        earlier = by_product.get(queue.pop())
        if earlier is not None:
            sections.update(earlier.sections)
            queue.extend(earlier.needs)
    values = city.scientific()
    return {s: values[s] for s in sorted(sections)}


def job_key(job: JobSpec, city: City, world: World, run: RunDirectory) -> str:
    """Return the hash of all that a job's product depends on: options, input files, earlier products, schema and version."""
    files = world.on_root(lambda: job.inputs(city))
    mine = {str(p): records.file_sha256(p) for p in files[world.rank :: world.size]}
    hashes = {p: h for part in world.allgather(mine) for p, h in part.items()}
    parts = {
        "options": city.for_job(job.sections),
        "inputs": [hashes[str(p)] for p in files],
        "needs": world.on_root(lambda: _hashes_of_products(job, run)),
        "schema": SCHEMA_VERSION,
        "version": __version__,
    }
    return hashlib.sha256(canonical_json(parts).encode()).hexdigest()


def _hashes_of_products(job: JobSpec, run: RunDirectory) -> dict[str, str]:
    paths = {n: run.needed(n) for n in job.needs} | {n: run.product(n) for n in job.uses if run.product(n).exists()}
    return {name: records.file_sha256(path) for name, path in paths.items()}


def _begin(record: Record, city: City, world: World, device: Device, command: str) -> None:
    record.values.setdefault("started", records.utc_now())
    devices = world.gather(device.facts())
    if not world.is_root:
        return
    record.values["city"] = city.city.name
    record.values["felsina"] = __version__
    record.values["configuration"] = {**city.scientific(), "execution": city.execution.as_dict()}
    record.values["machine"] = records.machine()
    record.values["world"] = {"ranks": world.size, "threads": city.execution.threads, "devices": devices}
    record.values["policies"] = [p.as_dict() for p in city.inputs]
    record.values["history"].append({"time": records.utc_now(), "command": command})
    record.save()


def _is_current(record: Record, job: JobSpec, key: str, run: RunDirectory) -> bool:
    entry = record.values["jobs"].get(job.name)
    path = run.product(job.product)
    return bool(entry and entry["key"] == key and path.exists() and records.file_sha256(path) == entry["sha256"])


def _finish(context: JobContext, job: JobSpec, key: str, seconds: float, metrics: dict[str, Any]) -> None:
    world, run = context.world, context.run
    timings = world.gather(dict(context.timings))
    memory = world.gather(records.peak_memory_mb())
    path = run.product(job.product)
    if world.is_root:
        assert timings is not None
        assert memory is not None
        if not path.exists():
            raise ProductError(f"The job '{job.name}' ended without '{path}'. This is a defect in felsina; please report it.")
        parts = sorted({name for t in timings for name in t})
        context.record.values["jobs"][job.name] = {
            "key": key,
            "product": PRODUCTS[job.product].file,
            "sha256": records.file_sha256(path),
            "bytes": path.stat().st_size,
            "finished": records.utc_now(),
            "seconds": round(seconds, 3),
            "timings_s": {p: [round(t.get(p, 0.0), 3) for t in timings] for p in parts},
            "peak_memory_mb": [round(m, 1) for m in memory],
            "metrics": metrics,
        }
        context.record.save()
        LOGGER.info("Finished %s in %.1f s: %s (%.1f MB).", job.name, seconds, path.name, path.stat().st_size / 1e6)
    world.barrier()
