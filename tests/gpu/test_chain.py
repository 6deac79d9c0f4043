"""The whole chain with `--device gpu` on the stand-in: what a GPU would be told to do, up to the launches.

A launch runs the function of its element on the processor, or the compiled PTX in the interpreter where threads of a block work
together; arguments, types, grids, memory and streams are those of a GPU, and what the stand-in cannot excuse is an error.
"""

import functools
import hashlib
import json
import os
import shutil
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from gpu_twins.every_case import DRIVERS, identifier

from felsina.engine.parallel.gpu import GpuDevice
from felsina.kernels.pointcloud.harmonic import restrict_gpu
from felsina.kernels.pointcloud.raster import bin_lowest_gpu

HERE = Path(__file__).resolve().parent
PRODUCTS = ("terrain", "buildings", "energy", "microclimate", "city")
QUIET = ("--no-report", "--threads", 1)
# The cut of the air that has neighbours on another rank, edges and an interior: four tiles.
TILES = ("--set", "execution.tile_m=64")

# Runs a verb and leaves what the stand-in has seen in a file a rank.
PROGRAM = """
import atexit, json, os, sys
from pathlib import Path
from cupy import stand_in
from felsina.jobs import cli

def tell():
    seen = {"launches": sorted(set(stand_in.launches)), "faults": stand_in.faults, "own_kernels": sorted(stand_in.own_kernels)}
    whole = Path(sys.argv[1] + os.environ.get("PMI_RANK", "0"))
    part = whole.with_name("part-" + whole.name)
    part.write_text(json.dumps(seen))
    part.replace(whole)  # a rank that another one ends in the middle of this has written nothing

atexit.register(tell)
sys.exit(cli.main(sys.argv[2:]))
"""


@pytest.fixture(scope="module")
def on_gpu(felsina, tmp_path_factory):
    """Return a function that runs a verb with `--device gpu`; it returns the process and what each rank's stand-in saw."""
    folder = tmp_path_factory.mktemp("on_gpu")
    (folder / "verb.py").write_text(PROGRAM)

    def run(*arguments, ranks=1, **environment):
        for old in folder.glob("seen-*"):
            old.unlink()
        environment = {"PYTHONPATH": os.pathsep.join([str(HERE / "stand_in"), str(HERE)]), **environment}
        program = (str(folder / "verb.py"), str(folder / "seen-"))
        done = felsina(ranks, environment, program)(*arguments, "--device", "gpu", *QUIET, timeout=120.0)
        return done, [json.loads(p.read_text()) for p in sorted(folder.glob("seen-*"))]

    return run


RUNS = {
    "1 rank": {},
    "2 ranks on 1 GPU": {"ranks": 2},
    "2 ranks on 2 GPUs that MPI reads": {"ranks": 2, "STAND_IN_GPUS": "2", "STAND_IN_ORDER": "early"},
}


@pytest.fixture(scope="module")
def runs(district, on_gpu, tmp_path_factory):
    """Return a function that runs the chain in one of the ways of `RUNS`, once; it returns the run and what was seen."""
    folder, done = tmp_path_factory.mktemp("runs"), {}

    def run(name):
        if name not in done:
            aware = ("--set", f"execution.gpu_aware={str('MPI reads' in name).lower()}")
            out = folder / name.replace(" ", "_")
            ended, seen = on_gpu("run", district, "--out", out, *TILES * (RUNS[name] != {}), *aware, **RUNS[name])
            assert ended.returncode == 0, ended.stdout + ended.stderr
            done[name] = out, seen
        return done[name]

    return run


def beside(cpu: Path, gpu: Path, product: str) -> dict[str, tuple[int, float]]:
    """Return fields of a product that differ, with the number of values and the largest difference in steps of the field."""
    found = {}
    with h5py.File(cpu / f"{product}.nc") as a, h5py.File(gpu / f"{product}.nc") as b:
        names: list[str] = []
        a.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
        for name in names:
            if name == "felsina/inputs":  # digests of products that came before
                continue
            x, y = np.asarray(a[name][()]), np.asarray(b[name][()])
            assert x.shape == y.shape and x.dtype == y.dtype, name
            differs = ~((x == y) | ((x != x) & (y != y)))
            if not differs.any():
                continue
            step = float(np.ravel(a[name].attrs.get("quantum", 0.0))[0])
            assert x.dtype.kind == "f" and step > 0, f"{name} differs and has no step"
            steps = np.abs(x[differs].astype(float) - y[differs]) / step
            found[name] = int(differs.sum()), float(np.nan_to_num(steps, nan=np.inf).max())
    return found


@pytest.mark.parametrize("product", PRODUCTS)
def test_products_are_the_processors_within_one_step_of_each_field(runs, finished, product, report):
    gpu, _ = runs("1 rank")
    found = beside(finished, gpu, product)
    for name, (count, steps) in found.items():
        # A value near the middle of two steps may fall to either; float32 keeps whole steps to a few parts in 10,000 of one.
        assert steps < 1.01, name
        report[f"Values of {name} that differ on the stand-in from the processor's"] = count, f"largest {steps:.3f} steps"


@pytest.mark.parametrize("name", list(RUNS)[1:])
def test_bytes_are_the_same_for_any_ranks_tiles_and_order_of_streams(runs, published, name):
    assert published(runs(name)[0]) == published(runs("1 rank")[0])


@pytest.mark.parametrize("name", RUNS)
def test_no_rank_needs_a_compiler_on_its_node_or_gets_away_with_a_fault(runs, name):
    _, seen = runs(name)
    assert len(seen) == RUNS[name].get("ranks", 1)
    for rank in seen:
        assert rank["own_kernels"] == [] and rank["faults"] == []
        assert len(rank["launches"]) > 25


def test_the_record_names_the_device_of_every_rank(runs):
    told = {name: json.loads((runs(name)[0] / "run.json").read_text())["world"]["devices"] for name in RUNS}
    for name, devices in told.items():
        assert [d["kind"] for d in devices] == ["gpu"] * RUNS[name].get("ranks", 1)
        for device in devices:
            assert device["name"] == "NVIDIA A100-SXM-64GB (stand-in)" and device["compute_capability"] == "8.0"
    assert [d["ranks_per_gpu"] for d in told["2 ranks on 1 GPU"]] == [2, 2]
    assert [d["ranks_per_gpu"] for d in told["2 ranks on 2 GPUs that MPI reads"]] == [1, 1]
    assert [d["gpu_aware_mpi"] for d in told["2 ranks on 2 GPUs that MPI reads"]] == [True, True]


# -- which drivers ------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def without_classes(district, on_gpu, felsina, tmp_path_factory):
    """The terrain from points without classes, on the processor and on the stand-in, and what was seen."""
    folder = tmp_path_factory.mktemp("without_classes")
    options = ("--until", "terrain", "--set", "points.use_classes=false", "--set", "terrain.resolution_m=1")
    done = felsina()("run", district, "--out", folder / "cpu", *options, *QUIET)
    assert done.returncode == 0, done.stderr
    done, seen = on_gpu("run", district, "--out", folder / "gpu", *options)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "cpu", folder / "gpu", seen


def test_points_without_classes_give_the_processors_bytes(without_classes, published):
    cpu, gpu, seen = without_classes
    assert published(gpu) == published(cpu) != {}
    assert seen[0]["own_kernels"] == [] and seen[0]["faults"] == []
    assert "felsina_pointcloud_opening_erode_tile_gpu" in seen[0]["launches"]  # with shared memory, by the interpreter


NOT_LAUNCHED = {
    "the streets compute in single precision": (
        "air.boundary.caps_gpu:f8 air.boundary.side_gpu:f8 air.exchange.beside_surface_gpu:f8 air.exchange.fill_layers_gpu:f8 "
        "air.exchange.near_ground_gpu:f8 air.implicit.relax_gpu:f8 air.wind.lift_gpu:f8 air.wind.strip_gpu:f8 "
        "energy.surface_column.balance_columns_gpu:f8"
    ),
    "energy.precision is float64 here": "energy.zone.simulate_gpu:f4",
    "the air takes one implicit step an hour": (
        "air.diffusion.columns_gpu:f4 air.diffusion.columns_gpu:f8 air.transport.koren_gpu:f4 air.transport.koren_gpu:f8 "
        "air.transport.neighbours_gpu air.transport.row_rates_gpu:f4 air.transport.row_rates_gpu:f8 "
        "air.transport.upwind_gpu:f4 air.transport.upwind_gpu:f8"
    ),
    "surface balance and conduction are one driver, balance_columns": (
        "air.surface_balance.fluxes_gpu:f4 air.surface_balance.fluxes_gpu:f8 air.surface_balance.linearise_gpu:f4 "
        "air.surface_balance.linearise_gpu:f8 energy.conduction.conduct_gpu:f4 energy.conduction.conduct_gpu:f8"
    ),
    "frames hold single precision": "halo.pack_1_gpu halo.pack_8_gpu halo.unpack_1_gpu halo.unpack_8_gpu",
    "classes of points are the processor's": (
        "pointcloud.ground.height_above_gpu pointcloud.ground.is_ground_gpu pointcloud.raster.sample_nearest_gpu "
        "pointcloud.raster.bin_points_gpu pointcloud.raster.merge_bins_gpu"
    ),
    "rasters of points come back as whole numbers": ("pointcloud.raster.height_gpu pointcloud.raster.mean_gpu"),
    "the scene is prepared by the processor": "air.wind.morphometry_gpu:f4 air.wind.morphometry_gpu:f8",
    "the weather of one place is the processor's": (
        "radiation.longwave.dew_point_gpu radiation.longwave.relative_humidity_gpu radiation.longwave.sky_radiation_gpu "
        "radiation.sun.positions_gpu radiation.transposition.mean_sky_gpu radiation.transposition.split_global_gpu "
        "radiation.transposition.tilted_gpu"
    ),
    "the district has trees": "radiation.skyview.sky_view_gpu",
    "horizons and shade of sub-steps are offered to others": "radiation.horizon.horizon_gpu radiation.shadow.add_shade_gpu",
}


def test_every_driver_is_launched_by_the_chain_or_has_a_reason(runs, without_classes, report):
    seen = [rank for name in RUNS for rank in runs(name)[1]] + without_classes[2]
    launched = {name for rank in seen for name in rank["launches"]}
    names = {kernel.entry(kind): identifier(kernel, kind) for kernel, kind in DRIVERS}
    assert launched <= names.keys()
    idle = {name for entry, name in names.items() if entry not in launched}
    assert idle == {name for text in NOT_LAUNCHED.values() for name in text.split()}
    report["GPU drivers that the chain launches"] = len(launched), f"of {len(names)}; the others have reasons in test_chain.py"


# -- order --------------------------------------------------------------------------------------------------------------
class Enough(Exception):
    """The hours that a test wants are over."""


def two_hours(district, products, out, monkeypatch, omitted=None):
    """Return a digest of the air after two hours on four tiles, computed in this process; one kind of wait may be left out."""
    from felsina.engine.city import read_city
    from felsina.engine.parallel.world import World
    from felsina.engine.processes import heatwave
    from felsina.jobs.run import run_chain

    shutil.copytree(products, out, ignore=shutil.ignore_patterns("microclimate.nc", "city.*"))
    wait, step, digest, hours = GpuDevice.wait, heatwave.StreetHeat.step, hashlib.sha256(), []

    def leave_out(device, stream, *, for_):
        if (stream, for_) != omitted:
            wait(device, stream, for_=for_)

    def watch(streets, *arguments, **options):
        step(streets, *arguments, **options)
        hours.append(1)
        for tile in streets.tiles:
            digest.update(streets._device.get(tile.temperature).tobytes())
        if len(hours) == 2:
            raise Enough

    monkeypatch.setattr(GpuDevice, "wait", leave_out)
    monkeypatch.setattr(heatwave.StreetHeat, "step", watch)
    monkeypatch.setattr(heatwave, "MOST_SWEEPS", 40)
    city = read_city(district, ["execution.device=gpu", "execution.tile_m=64", "execution.threads=1"])
    with pytest.raises(Enough):
        run_chain(city, World.serial(), ["heatwave"], out, resume=True)
    monkeypatch.undo()
    return digest.hexdigest()


@pytest.mark.parametrize(("omitted", "order"), [(("halo", "main"), "early"), (("main", "halo"), "late")])
def test_a_wait_between_streams_that_is_left_out_is_seen(district, finished, tmp_path, monkeypatch, stand_in, omitted, order):
    stand_in.order = order
    whole = two_hours(district, finished, tmp_path / "whole", monkeypatch)
    assert two_hours(district, finished, tmp_path / "spoilt", monkeypatch, omitted) != whole


# -- what may be missing ------------------------------------------------------------------------------------------------
def left_over(run: Path) -> set[str]:
    """Return the files of a run directory but for its record."""
    return {str(p.relative_to(run)) for p in run.rglob("*") if p.is_file() and p.name != "run.json"}


@pytest.mark.parametrize(
    ("job", "product", "megabytes", "says"),
    [
        ("terrain", "terrain.nc", "1", "no room for an array of "),
        ("energy", "energy.nc", "7", "no room for the year of 9 buildings ("),
        ("heatwave", "microclimate.nc", "1", "no room for "),
    ],
)
def test_too_little_memory_ends_with_a_sentence_and_no_half_product(
    on_gpu, district, finished, tmp_path, job, product, megabytes, says
):
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    (run / product).unlink()
    before = left_over(run)
    done, _ = on_gpu("run", district, "--from", job, "--until", job, "--out", run, STAND_IN_MEMORY_MB=megabytes)
    assert done.returncode == 4, done.stdout + done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith("felsina: The GPU NVIDIA A100-SXM-64GB (stand-in) has no room for ") and says in last
    assert "Traceback" not in done.stderr
    assert left_over(run) == before


def test_one_rank_of_two_without_room_ends_both(on_gpu, district, tmp_path):
    run = tmp_path / "run"
    # The second rank has more points; as a rule the first waits for it in the next collective call.
    done, _ = on_gpu("run", district, "--until", "terrain", "--out", run, ranks=2, STAND_IN_MEMORY_MB="6")
    assert done.returncode == 4, done.stdout + done.stderr
    # The first may find no room of its own before the end of the second reaches it.
    assert done.stderr.count("has no room for an array of ") in (1, 2) and "Traceback" not in done.stderr
    assert left_over(run) == set()


def test_without_cupy_the_run_ends_with_4_and_the_way_out(felsina, district, tmp_path):
    (tmp_path / "cupy.py").write_text("raise ModuleNotFoundError(\"No module named 'cupy'\", name='cupy')\n")
    run = tmp_path / "run"
    done = felsina(environment={"PYTHONPATH": str(tmp_path)})("run", district, "--out", run, "--device", "gpu", *QUIET)
    assert done.returncode == 4
    assert done.stderr.splitlines()[-1] == (
        "felsina: Kernels on the GPU need CuPy, which is not installed. Run pip install 'felsina[cuda12]' (or [cuda13], for a "
        "driver of CUDA 13). Use --device cpu to do without."
    )
    assert left_over(run) == set()


def test_jobs_that_the_processor_finished_are_not_done_again(on_gpu, district, finished, published, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    done, seen = on_gpu("run", district, "--out", run, "--resume")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("Skipped ") == 5 and seen[0]["launches"] == []
    assert published(run) == published(finished)
    assert json.loads((run / "run.json").read_text())["world"]["devices"][0]["kind"] == "gpu"


@pytest.fixture
def own_cache(tmp_path):
    """A copy of the cache of compiled kernels whose files are links, to take some out."""
    from felsina.kernels._backend import cache_directory

    shutil.copytree(cache_directory(), tmp_path / "cache" / "kernels" / cache_directory().name, copy_function=os.link)
    return tmp_path / "cache"


@pytest.mark.parametrize(("kernel", "ranks"), [(bin_lowest_gpu, 1), (restrict_gpu, 2)])
def test_in_a_job_of_several_nodes_a_driver_without_machine_code_is_named(
    on_gpu, runs, district, own_cache, tmp_path, kernel, ranks
):
    runs("2 ranks on 1 GPU")  # everything else is compiled
    for path in own_cache.rglob(f"{kernel.entry()}.sm_80.cubin"):
        path.unlink()
    environment = {"FELSINA_CACHE_DIR": str(own_cache), "SLURM_JOB_NUM_NODES": "2"}
    done, _ = on_gpu("run", district, "--until", "terrain", "--out", tmp_path / "run", ranks=ranks, **environment)
    assert done.returncode == 4, done.stdout + done.stderr
    last = done.stderr.splitlines()
    assert any(f"The kernel {kernel.name} is not in the cache" in line and "compute capability 8.0" in line for line in last)
    assert left_over(tmp_path / "run") == set()
    assert not list(own_cache.rglob(f"{kernel.entry()}.sm_80.cubin"))


# -- on hardware --------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def run_on_device(district, felsina, tmp_path_factory):
    """Return a function that runs the chain on a real GPU, once."""

    @functools.cache
    def run():
        out = tmp_path_factory.mktemp("on_device") / "run"
        environment = {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p and "stand_in" not in p)}
        done = felsina(environment=environment)("run", district, "--out", out, "--device", "gpu", *QUIET)
        assert done.returncode == 0, done.stdout + done.stderr
        return out

    return run


@pytest.mark.gpu
@pytest.mark.parametrize("product", PRODUCTS)
def test_a_real_gpu_gives_the_processors_products_within_one_step(device, run_on_device, finished, product, report):
    for name, (count, steps) in beside(finished, run_on_device(), product).items():
        assert steps < 1.01, name
        report[f"Values of {name} that differ on {device} from the processor's"] = count, f"largest {steps:.3f} steps"
