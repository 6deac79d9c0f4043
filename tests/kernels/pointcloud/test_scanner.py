import itertools
import math

import numba
import numpy as np
import pytest

from felsina.kernels.pointcloud.scanner import Scanner, cast_pulses, pulses_over, returns_within, scanner_of_density
from felsina.kernels.pointcloud.surface import surface_model, terrain_height

TERRAIN = np.array([10.0, 0.01, -0.02, 1.5, 300.0, 200.0, 0.3, 0.7])
LEVEL = np.array([0.0, 0.0, 0.0, 0.0, 100.0, 100.0, 0.0, 0.0])
EXACT = Scanner(range_noise=0.0, horizontal_noise=0.0, low_noise=0.0, high_noise=0.0)
NO_CROWN = np.empty((0, 5))


def box(west, south, east, north):
    return np.array([(west, south), (east, south), (east, north), (west, north)], float)


def scene(terrain=LEVEL, rings=(), heights=(), kinds=6, crowns=NO_CROWN, size=200.0, bases=None):
    plane = np.array([h if np.ndim(h) else (0.0, 0.0, h) for h in heights], float).reshape(-1, 3)
    kind = np.broadcast_to(np.uint8(kinds), len(plane))
    ring, bounds = np.array(rings).reshape(-1, 4, 2), (0.0, 0.0, size, size)
    return surface_model(terrain, ring, plane, kind, np.asarray(crowns), bounds, prism_base=bases)


def flown(scanner, window, relief=70.0):
    parts = []
    for line, (first, last), (begin, end) in pulses_over(scanner, window, relief):
        scan, mirror = np.meshgrid(np.arange(first, last), np.arange(begin, end), indexing="ij")
        parts.append((np.full(scan.size, line), scan.ravel(), mirror.ravel()))
    return tuple(np.concatenate(p) for p in zip(*parts, strict=True))


def rays(scanner, terrain, line, scan, mirror):
    """The flight plan, written again in NumPy."""
    ahead = np.where(line % 2 == 0, 1.0, -1.0)
    share = (mirror + 0.5) / scanner.n_mirror
    angle = scanner.half_angle * (2.0 * share - 1.0)
    x, y = (line + 0.5) * scanner.line_spacing, (scan + ahead * share) * scanner.scan_spacing
    origin = np.stack([x, y, terrain[0] + terrain[1] * x + terrain[2] * y + scanner.altitude], axis=-1)
    forward, down = np.cos(angle) * math.sin(scanner.pitch), np.cos(angle) * math.cos(scanner.pitch)
    return origin, np.stack([np.sin(angle), ahead * forward, -down], axis=-1)


def busy_scene(rng):
    rings, planes = [], []
    for _ in range(40):
        c, turn, a, b = rng.uniform(20, 180, 2), rng.uniform(0, 6.3), rng.uniform(2, 9), rng.uniform(2, 9)
        e, n = np.array([math.cos(turn), math.sin(turn)]), np.array([-math.sin(turn), math.cos(turn)])
        rings.append([c - a * e - b * n, c + a * e - b * n, c + a * e + b * n, c - a * e + b * n])
        slope = rng.uniform(-0.4, 0.4, 2)
        planes.append((*slope, rng.uniform(20, 50) - slope @ c))
    crowns = np.column_stack(
        [rng.uniform(0, 200, (60, 2)), rng.uniform(14, 22, 60), rng.uniform(1, 5, 60), rng.uniform(1, 5, 60)]
    )
    return np.array(rings), np.array(planes), crowns


def test_first_solid_equals_a_search_through_every_prism():
    rng = np.random.default_rng(3)
    rings, planes, _ = busy_scene(rng)
    bases = planes - np.array([0.0, 0.0, 1.0]) * rng.uniform(0.2, 15.0, (len(planes), 1))
    bases[::2] = 0.0, 0.0, -np.inf
    model = scene(TERRAIN, rings, planes, bases=bases)
    pulses = flown(EXACT, (0.0, 0.0, 200.0, 200.0))
    pulses = tuple(p[:: pulses[0].size // 20_000] for p in pulses)
    position, kind, _, count = cast_pulses(EXACT, model, 1, *pulses)
    origin, ray = rays(EXACT, TERRAIN, *pulses)
    low, high = np.full(len(ray), 300.0), np.full(len(ray), 700.0)
    for _ in range(60):  # bisection: the ray falls through the ground once
        middle = 0.5 * (low + high)
        p = origin + middle[:, None] * ray
        above = p[:, 2] > terrain_height(TERRAIN, p[:, 0], p[:, 1])
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    ground, nearest = low, low.copy()
    for ring, plane, base in zip(rings, planes, bases, strict=True):
        enter, leave = np.full(len(ray), -np.inf), np.full(len(ray), np.inf)
        for p, q in zip(ring, np.roll(ring, -1, axis=0), strict=True):
            normal = np.array([q[1] - p[1], p[0] - q[0]])
            rate, offset = ray[:, :2] @ normal, (origin[:, :2] - p) @ normal
            enter = np.where(rate < 0, np.maximum(enter, -offset / rate), enter)
            leave = np.where(rate > 0, np.minimum(leave, -offset / rate), leave)
        above = origin @ np.array([-plane[0], -plane[1], 1.0]) - plane[2]
        sink = ray @ np.array([-plane[0], -plane[1], 1.0])
        top = -above / sink
        if np.isfinite(base[2]):
            normal = np.array([-base[0], -base[1], 1.0])
            leave = np.minimum(leave, (base[2] - origin @ normal) / (ray @ normal))
        hit = np.where(above + enter * sink <= 0, enter, np.where(top <= leave, top, np.inf))
        nearest = np.minimum(nearest, np.where((enter <= leave) & (hit <= leave), hit, np.inf))
    inside = np.abs(origin[:, :2] + ground[:, None] * ray[:, :2] - 100.0).max(axis=1) < 60.0  # far from the edge of the index
    assert (count == 1).all()
    np.testing.assert_array_equal(kind[inside, 0], np.where(nearest < ground, 6, 2)[inside])
    assert 1000 < np.count_nonzero(kind[inside, 0] == 6) < inside.sum()
    # Half a millimetre of rounding.
    np.testing.assert_allclose(position[inside, 0] / 1000.0, (origin + nearest[:, None] * ray)[inside], atol=5.1e-4)


def test_a_shadow_is_as_long_as_the_tower_is_high():
    # Seen from x0, a wall of height h whose top is at x hides the ground to x + (x - x0) h / (H - h).
    height, east = 40.0, 170.0
    scanner = EXACT._replace(pitch=0.0)
    model = scene(rings=[box(150.0, 80.0, east, 120.0)], heights=[height])
    line, scan, mirror = flown(scanner, (140.0, 85.0, 200.0, 115.0))
    position, kind, _, _ = cast_pulses(scanner, model, 1, line, scan, mirror)
    x, y = position[:, 0, 0] / 1000.0, position[:, 0, 1] / 1000.0
    level = (kind[:, 0] == 2) & (y > 81.0) & (y < 119.0)
    end = east + (east - 0.5 * scanner.line_spacing) * height / (scanner.altitude - height)
    west_line = level & (line == 0) & (x > east)
    assert x[west_line].min() >= end - 1e-3
    assert x[west_line].min() < end + 1.0
    assert (kind[(line == 0) & (x > east + 1e-3) & (x < end), 0] == 6).sum() == 0
    # The next line, east of the tower, sees what the first one could not.
    assert np.count_nonzero(level & (line == 1) & (x > east) & (x < end)) > 100


def test_light_falls_under_a_roof_as_far_as_its_edge_is_high():
    # A slab from 6 to 9 m over a wall that stands back by 8 m: seen from x0, the ray over the lower edge at x meets the ground
    # at x + (x - x0) h / (H - h); no return lies deeper, on the ground or on the wall, and the lit strip has no gap.
    height, west = 6.0, 150.0
    scanner = EXACT._replace(pitch=0.0)
    rings, base = (
        [box(west, 80.0, 170.0, 120.0), box(west + 8.0, 80.0, 170.0, 120.0)],
        [(0.0, 0.0, height), (0.0, 0.0, -np.inf)],
    )
    model = scene(rings=rings, heights=[9.0, 6.0], bases=np.array(base))
    line, scan, mirror = flown(scanner, (140.0, 85.0, 200.0, 115.0))
    position, kind, _, _ = cast_pulses(scanner, model, 1, line, scan, mirror)
    x, z = position[:, 0, 0] / 1000.0, position[:, 0, 2] / 1000.0
    end = west + (west - 0.5 * scanner.line_spacing) * height / (scanner.altitude - height)
    lit = (line == 0) & (kind[:, 0] == 2) & (x > west) & (x < 170.0)
    assert end - 0.5 < x[lit].max() <= end + 1e-3
    assert np.count_nonzero(lit) > 50
    # The line to the east looks at the other side: it sees nothing below, and no pulse meets the underside or the wall behind.
    assert not ((line == 1) & (kind[:, 0] == 2) & (x > west + 1e-3) & (x < 170.0)).any()
    assert z[(kind[:, 0] == 6) & (x > west + 1e-3) & (x < 169.9)].min() >= 9.0 - 1e-3


def test_walls_and_roofs_are_hit_on_their_planes():
    model = scene(rings=[box(150.0, 80.0, 170.0, 120.0)], heights=[(0.2, 0.1, 0.0)])
    pulses = flown(EXACT, (140.0, 70.0, 180.0, 130.0))
    position, kind, _, _ = cast_pulses(EXACT, model, 1, *pulses)
    x, y, z = np.moveaxis(position[kind[:, 0] == 6, 0] / 1000.0, -1, 0)
    roof = np.abs(z - 0.2 * x - 0.1 * y) < 1e-3
    wall = np.minimum.reduce([np.abs(x - 150.0), np.abs(x - 170.0), np.abs(y - 80.0), np.abs(y - 120.0)]) < 1e-3
    assert (roof | wall).all()
    assert np.count_nonzero(roof) > 5000
    assert np.count_nonzero(wall & ~roof) > 300


def test_crowns_thin_the_beam_by_the_law_of_beer_and_lambert():
    crown = np.array([100.0, 100.0, 8.0, 12.0, 1.6])
    model = scene(crowns=[crown])
    pulses = flown(EXACT, (90.0, 90.0, 110.0, 110.0))
    _, kind, _, count = cast_pulses(EXACT, model, 1, *pulses)
    origin, ray = rays(EXACT, LEVEL, *pulses)
    scale = np.array([1.0, 1.0, crown[3] / crown[4]])
    p, d = (origin - crown[:3]) * scale, ray * scale
    a, b, c = (d * d).sum(axis=1), (p * d).sum(axis=1), (p * p).sum(axis=1) - crown[3] ** 2
    path = 2.0 * np.sqrt(np.maximum(b * b - a * c, 0.0)) / a
    through = path > 0.5
    expected = np.exp(-EXACT.extinction * path[through])
    passed = (count[through] == 1) & (kind[through, 0] == 2)
    spread = math.sqrt((expected * (1.0 - expected)).sum())
    assert through.sum() > 3000
    assert abs(passed.sum() - expected.sum()) < 4.0 * spread  # four standard deviations of a sum of Bernoulli draws
    assert (kind[path == 0.0, 0] == 2).all()


def test_only_crowns_split_a_pulse_and_returns_keep_their_distance():
    rings, planes, crowns = busy_scene(np.random.default_rng(5))
    pulses = flown(EXACT, (0.0, 0.0, 200.0, 200.0))
    position, kind, _, count = cast_pulses(EXACT, scene(TERRAIN, rings, planes, crowns=crowns), 1, *pulses)
    assert count.max() > 2
    for r in range(count.max() - 1):
        split = count > r + 1
        assert np.isin(kind[split, r], (3, 4, 5)).all()
        gap = np.linalg.norm((position[split, r + 1] - position[split, r]) / 1000.0, axis=1)
        assert gap.min() >= EXACT.dead_zone - 2e-3  # two roundings to a millimetre
    origin, ray = rays(EXACT, TERRAIN, *pulses)
    away = np.cross((position[:, 0] / 1000.0 - origin)[count > 0], ray[count > 0])
    assert np.abs(away).max() < 1e-3


def test_vegetation_classes_follow_the_height_above_the_ground():
    crowns = [(60.0, 60.0, 0.3, 3.0, 0.3), (100.0, 60.0, 1.2, 3.0, 0.6), (140.0, 60.0, 9.0, 4.0, 4.0)]
    position, kind, _, count = cast_pulses(EXACT, scene(crowns=crowns), 1, *flown(EXACT, (40.0, 40.0, 160.0, 80.0)))
    first = count > 0
    z, k = position[first, 0, 2] / 1000.0, kind[first, 0]
    assert set(np.unique(k)) == {2, 3, 4, 5}
    assert z[k == 3].max() < 0.501
    assert z[k == 4].min() > 0.499
    assert z[k == 4].max() < 2.001
    assert z[k == 5].min() > 1.999


def test_noise_has_the_stated_spread():
    noisy = EXACT._replace(range_noise=0.03, horizontal_noise=0.05)
    pulses = flown(EXACT, (80.0, 0.0, 110.0, 30.0))
    exact, noise = (cast_pulses(s, scene(), 1, *pulses)[0][:, 0] / 1000.0 for s in (EXACT, noisy))
    off = noise - exact
    _, ray = rays(EXACT, LEVEL, *pulses)
    n = len(off)
    assert n > 4000
    # The spread of a sample spread is 1 / sqrt(2 n): 1.1 % at 4,000; four of them.
    assert off[:, 2].std() == pytest.approx(0.03 * np.sqrt((ray[:, 2] ** 2).mean()), rel=0.045)
    assert off[:, 1].std() == pytest.approx(math.hypot(0.05, 0.03 * np.sqrt((ray[:, 1] ** 2).mean())), rel=0.045)
    assert abs(off[:, 0].mean()) < 4 * 0.06 / math.sqrt(n)


def test_false_returns_and_water_follow_their_probabilities():
    scanner = EXACT._replace(low_noise=0.02, high_noise=0.03, water_return=0.2)
    model = scene(rings=[box(0.0, 0.0, 200.0, 200.0)], heights=[0.5], kinds=9)
    position, kind, _, count = cast_pulses(scanner, model, 1, *flown(scanner, (50.0, 50.0, 100.0, 100.0)))
    n, z, k = count.size, position[:, 0, 2] / 1000.0, np.where(count > 0, kind[:, 0], 0)
    for name, share in ((7, 0.02), (18, 0.03), (9, 0.95 * 0.2), (0, 0.95 * 0.8)):
        assert abs(np.count_nonzero(k == name) - n * share) < 4.0 * math.sqrt(n * share), name
    assert z[k == 7].max() < -1.4
    assert z[k == 18].min() >= scanner.false_bottom - 1e-3
    assert z[k == 18].max() <= scanner.false_top + 1e-3


def test_threads_order_and_cuts_change_no_bit():
    rng = np.random.default_rng(9)
    rings, planes, crowns = busy_scene(rng)
    scanner, model = Scanner(), scene(TERRAIN, rings, planes, crowns=crowns)
    pulses = tuple(p[::7] for p in flown(scanner, (50.0, 50.0, 150.0, 150.0)))

    def returns(line, scan, mirror):
        position, kind, bright, count = cast_pulses(scanner, model, 4, line, scan, mirror)
        beyond = np.arange(position.shape[1]) >= count[:, None]
        position[beyond], kind[beyond], bright[beyond] = 0, 0, 0.0
        return position, kind, bright, count

    whole = returns(*pulses)
    n = pulses[0].size
    before = numba.get_num_threads()
    try:
        for threads in sorted({1, min(2, before)}):
            numba.set_num_threads(threads)
            for a, b in zip(whole, returns(*pulses), strict=True):
                np.testing.assert_array_equal(a, b)
    finally:
        numba.set_num_threads(before)
    cuts = [0, *np.sort(rng.integers(0, n, 5)).tolist(), n]
    parts = [returns(*(p[i:j] for p in pulses)) for i, j in itertools.pairwise(cuts)]
    for a, b in zip(whole, zip(*parts, strict=True), strict=True):
        np.testing.assert_array_equal(a, np.concatenate(b))
    order = rng.permutation(n)
    for a, b in zip(whole, returns(*(p[order] for p in pulses)), strict=True):
        np.testing.assert_array_equal(a[order], b)


@pytest.mark.parametrize("density", [2.0, 11.5, 40.0])
def test_level_ground_receives_the_density_asked_for(density):
    scanner = scanner_of_density(density)._replace(low_noise=0.0, high_noise=0.0)
    side = 60.0
    position, _, _, count = cast_pulses(scanner, scene(), 1, *flown(scanner, (0.0, 0.0, side, side), 1.0))
    pulse, place = returns_within(position, count, (0, 0, 60_000, 60_000))
    # Equal steps of angle thin the edge of a swath by cos^2(25 degree) = 0.82; the two strips share it.
    assert pulse.size / side**2 == pytest.approx(density, rel=0.12)
    assert (place == 0).all()


def test_a_plan_misses_no_return_of_its_window():
    rings, planes, crowns = busy_scene(np.random.default_rng(11))
    scanner, model = Scanner(low_noise=1e-3, high_noise=1e-3), scene(TERRAIN, rings, planes, crowns=crowns)
    window = (80.0, 60.0, 120.0, 90.0)
    found = []
    for area in (window, (0.0, 0.0, 200.0, 200.0)):
        position, kind, _, count = cast_pulses(scanner, model, 1, *flown(scanner, area))
        pulse, place = returns_within(position, count, tuple(int(1000 * w) for w in window))
        rows = np.column_stack([position[pulse, place], kind[pulse, place]])
        found.append(rows[np.lexsort(rows.T)])
    np.testing.assert_array_equal(*found)


def test_windows_share_no_point_and_an_empty_plan_is_empty():
    position = np.array([[[0, 0, 0]], [[999, 5, 0]], [[1000, 5, 0]]], np.int32).repeat(5, axis=1)
    count = np.array([1, 1, 1], np.uint8)
    assert [returns_within(position, count, w)[0].tolist() for w in ((0, 0, 1000, 10), (1000, 0, 2000, 10))] == [[0, 1], [2]]
    none = np.empty(0, np.int64)
    assert [a.shape[0] for a in cast_pulses(EXACT, scene(), 1, none, none, none)] == [0, 0, 0, 0]
