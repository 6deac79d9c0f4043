from dataclasses import replace

import laspy
import numpy as np
import pyproj
import pytest

from felsina.engine.errors import InputError
from felsina.engine.grid import Grid
from felsina.engine.io.las import Points, read_chunks, scan_headers
from felsina.engine.parallel.partition import Partition
from felsina.engine.parallel.world import World
from felsina.engine.processes.ingest import (
    canonical_order,
    concatenated,
    first_numbers,
    ingest,
    route,
    stripe,
    without_duplicates,
)

CRS = "EPSG:7791"
GRID = Grid(CRS, 684_000.0, 4_930_000.0, 1.0, 300, 260)
COUNTS = (120_000, 0, 60_001, 7)


def write_tiles(folder):
    """Write tiles of random points over the grid; one is empty, one has a few points, and noise is among them."""
    generator = np.random.default_rng(7)
    files = []
    for k, n in enumerate(COUNTS):
        header = laspy.LasHeader(version="1.4", point_format=7)
        header.scales, header.offsets = np.full(3, 0.001), np.array([684_000.0, 4_929_000.0, 0.0])
        header.add_crs(pyproj.CRS.from_user_input(CRS))
        cloud = laspy.LasData(header)
        cloud.x = 684_000.0 + generator.integers(0, 300_000, n) / 1000
        cloud.y = 4_930_000.0 - generator.integers(0, 260_000, n) / 1000
        cloud.z = generator.integers(0, 90_000, n) / 1000
        cloud.classification = generator.choice([1, 2, 5, 6, 7, 67], n)
        cloud.return_number = generator.integers(1, 4, n)
        cloud.red = generator.integers(0, 65_536, n)
        files.append(folder / f"{k}.{'las' if k == 2 else 'laz'}")
        cloud.write(str(files[-1]), laz_backend=laspy.LazBackend.Lazrs)
    return files


def headers(world, folder):
    return world.on_root(lambda: scan_headers(write_tiles(folder), None))


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 9])
def test_stripes_cover_each_point_once_in_nearly_equal_whole_chunks(tmp_path, size):
    files = headers(World.serial(), tmp_path)
    covered = [np.zeros(f.count, int) for f in files]
    shares = []
    for rank in range(size):
        parts = stripe(files, rank, size)
        shares.append(sum(s.count for s in parts))
        for s in parts:
            covered[s.index][s.first : s.first + s.count] += 1
            assert s.first in files[s.index].chunk_first and s.first + s.count in files[s.index].chunk_first
    assert all((c == 1).all() for c in covered)
    # A share is as long as its part of all points, give or take half a chunk at either end.
    assert max(abs(n - sum(COUNTS) / size) for n in shares) <= 50_000


def test_numbers_count_the_points_of_all_files(tmp_path):
    files = headers(World.serial(), tmp_path)
    assert first_numbers(files).tolist() == [0, 120_000, 120_000, 180_001, 180_008]


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_the_stripes_of_any_number_of_ranks_hold_the_same_points(tmp_path, size):
    files = headers(World.serial(), tmp_path)
    parts = []
    for rank in range(size):
        for s in stripe(files, rank, size):
            number = int(first_numbers(files)[s.index])
            parts += read_chunks(files[s.index], s.first, s.count, (GRID.west, GRID.north), 30_000, (), True, number)
    together = concatenated(parts)
    np.testing.assert_array_equal(together.number, np.arange(sum(COUNTS)))


@pytest.mark.parametrize("round_points", [1, 1000, 70_000, 10**6])
def test_the_size_of_a_round_changes_nothing(tmp_path, round_points):
    if round_points == 1:  # a point a round, of a small file
        files = [replace(f) for f in headers(World.serial(), tmp_path) if f.count == 7]
    else:
        files = headers(World.serial(), tmp_path)
    seen = []
    done = ingest(World.serial(), files, GRID, seen.append, round_points=round_points)
    reference = []
    expected = ingest(World.serial(), files, GRID, reference.append)
    assert max(map(len, seen)) <= max(round_points, 1)
    assert (done.n_kept, done.dropped) == (expected.n_kept, expected.dropped)
    for name, values in concatenated(reference).columns().items():
        np.testing.assert_array_equal(concatenated(seen).columns()[name], values)


def test_a_round_of_nothing_but_noise_is_counted(tmp_path):
    header = laspy.LasHeader(version="1.4", point_format=6)
    header.add_crs(pyproj.CRS.from_user_input(CRS))
    cloud = laspy.LasData(header)
    cloud.x, cloud.y, cloud.z = np.full(9, 684_001.0), np.full(9, 4_929_999.0), np.zeros(9)
    cloud.classification = np.full(9, 7)
    cloud.write(str(tmp_path / "noise.laz"))
    done = ingest(World.serial(), scan_headers([tmp_path / "noise.laz"], None), GRID, lambda points: None)
    assert (done.n_point, done.n_kept, done.dropped["noise"]) == (9, 0, 9)


@pytest.mark.mpi(2, 3)
def test_every_rank_gets_the_points_of_its_tiles_and_no_other(world, shared_tmp):
    check_routing(world, shared_tmp, 20_000)


def test_one_rank_gets_all_points(tmp_path):
    check_routing(World.serial(), tmp_path, 40_000)


def check_routing(world, folder, round_points):
    files = headers(world, folder)
    partition = Partition.of(GRID.shape, 64, world.size)
    parts = []
    done = ingest(world, files, GRID, parts.append, partition, ("red",), round_points=round_points)
    assert len(set(world.allgather(len(parts)))) == 1  # as many rounds on every rank
    mine = concatenated(parts, ("red",))
    assert (partition.owner(mine.y // 1000, mine.x // 1000) == world.rank).all()
    mine = mine.take(np.argsort(mine.number))
    alone = []
    expected = ingest(World.serial(), files, GRID, alone.append, columns=("red",))
    everything = concatenated(alone, ("red",))
    ours = partition.owner(everything.y // 1000, everything.x // 1000) == world.rank
    for name, values in everything.take(ours).columns().items():
        np.testing.assert_array_equal(mine.columns()[name], values)
    assert (done.n_point, done.n_kept, done.dropped) == (expected.n_point, expected.n_kept, expected.dropped)
    np.testing.assert_array_equal(done.classes, expected.classes)
    assert done.classes[7] == 0 and done.classes[67] == 0 and done.classes[6] > 0
    assert any("no points" in note for note in done.notes)


@pytest.mark.mpi(2)
@pytest.mark.parametrize("alone", [False, True])
def test_a_file_that_one_rank_cannot_read_is_an_error_on_all(world, shared_tmp, alone):
    files = headers(world, shared_tmp)
    last = files[2].path  # in the share of the last rank
    world.on_root(lambda: last.write_bytes(last.read_bytes()[:-1000]))
    with pytest.raises(InputError, match=r"2\.las' holds [\d,]+ points but its header promises 60,001") as caught:
        ingest(
            world, files, GRID, lambda points: None, None if alone else Partition.of(GRID.shape, 64, world.size), alone=alone
        )
    assert caught.value.collective


@pytest.mark.mpi(1, 3)
def test_ranks_that_read_alone_take_the_same_points(world, shared_tmp):
    files = headers(world, shared_tmp)
    taken = {}
    for alone in (False, True):
        numbers: list[int] = []
        counts = ingest(world, files, GRID, lambda points, n=numbers: n.extend(points.number), round_points=7_000, alone=alone)
        taken[alone] = numbers, counts.n_kept, counts.classes.tolist()
    assert taken[True] == taken[False] and taken[True][1] > 0


def random_points(n, seed):
    generator = np.random.default_rng(seed)
    points = Points.empty(n)
    for name in ("x", "y", "z"):
        getattr(points, name)[:] = generator.integers(-3, 12, n) * 1000
    points.classification[:], points.return_number[:] = generator.integers(0, 9, n), generator.integers(1, 4, n)
    return points


def test_points_outside_the_grid_go_to_the_nearest_owner():
    points = random_points(200, 3)
    back = route(World.serial(), Partition.of((5, 5), 64, 1), Grid(CRS, 0.0, 0.0, 1.0, 5, 5), points)
    np.testing.assert_array_equal(back.x, points.x)


def test_the_canonical_order_forgets_the_order_of_the_input():
    points = random_points(500, 1)
    shuffled = points.take(np.random.default_rng(2).permutation(500))
    first, second = points.take(canonical_order(points)), shuffled.take(canonical_order(shuffled))
    for name in ("x", "y", "z", "classification", "return_number"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
    assert (np.diff(first.x) >= 0).all()


def test_of_points_on_one_spot_the_first_in_order_stays_whatever_comes_first():
    points = random_points(3000, 5)
    shuffled = points.take(np.random.default_rng(6).permutation(3000))
    one, other = without_duplicates(points), without_duplicates(shuffled)
    spots = {(x, y, z) for x, y, z in zip(points.x.tolist(), points.y.tolist(), points.z.tolist(), strict=True)}
    assert len(one) == len(spots) < 3000
    for name in ("x", "y", "z", "classification", "return_number"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert len(without_duplicates(Points.empty())) == 0
