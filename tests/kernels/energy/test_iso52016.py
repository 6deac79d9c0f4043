"""Laws and closed forms that the zone of ISO 52016-1 must keep. Tolerances are rounding unless a line says otherwise."""

from __future__ import annotations

import math

import numpy as np
import pytest

from felsina.kernels.energy import iso52016
from felsina.kernels.energy.envelope import element_nodes, sky_share, wind_classes

O = {name: i for i, name in enumerate(iso52016.OPAQUE)}
Wi = {name: i for i, name in enumerate(iso52016.WINDOW)}
Z = {name: i for i, name in enumerate(iso52016.ZONE)}
RESISTANCE, STORAGE = (0.05, 2.0, 0.2), (20e3, 2e3, 140e3)
HCI, HRI, HE, HRE = 2.5, 5.0, 15.0, 5.0
AREA = 40.0
HOURS = 240


def elements(n=1, k=3, exposed=True):
    """Return k like elements for each of n zones, without sun."""
    capacity, conductance = element_nodes(RESISTANCE, STORAGE, [0, 3])
    o = np.zeros((n, k, len(O)))
    o[..., O["area"]] = AREA
    o[..., O["capacity_0"] : O["capacity_0"] + 5] = capacity[0]
    o[..., O["conductance_0"] : O["conductance_0"] + 4] = conductance[0]
    o[..., O["interior_convection"]], o[..., O["interior_radiation"]] = HCI, HRI
    if exposed:
        o[..., O["exterior_convection"]], o[..., O["exterior_radiation"]] = HE, HRE
    return o


def windows(n=1, k=0):
    w = np.zeros((n, k, len(Wi)))
    w[..., Wi["area"]], w[..., Wi["conductance"]] = 4.0, 3.0
    w[..., Wi["interior_convection"]], w[..., Wi["interior_radiation"]] = HCI, HRI
    w[..., Wi["exterior_convection"]], w[..., Wi["exterior_radiation"]] = HE, HRE
    w[..., Wi["transmittance_1"]], w[..., Wi["transmittance_diffuse"]] = 0.7, 0.6
    w[..., Wi["outer_1"]], w[..., Wi["outer_diffuse"]], w[..., Wi["inner_1"]], w[..., Wi["inner_diffuse"]] = (
        0.1,
        0.1,
        0.05,
        0.05,
    )
    return w


def zones(n=1, **values):
    z = np.zeros((n, len(Z)))
    base = {"air_capacity": 2e5, "convective_gain": 0.4, "heating_limit": 1e9, "cooling_limit": 1e9}
    for name, value in (base | values).items():
        z[:, Z[name]] = value
    return z


def weather(air, hours=HOURS, sky=None):
    wx = np.zeros((hours, len(iso52016.WEATHER)))
    wx[:, 0] = air
    wx[:, 1] = air if sky is None else sky
    t = 2 * np.pi * np.arange(hours) / hours
    wx[:, 2], wx[:, 3] = np.cos(t), np.sin(t)
    return wx


def run(o, w, z, wx, heat=-1000.0, cool=1000.0, gain=0.0, vent=0.0, **options):
    hours = len(wx) // options.get("sub_steps", 1)
    s = np.zeros((1, hours, 4))
    s[0] = (gain, vent, heat, cool)
    s = options.pop("schedules", s)
    classes = options.pop("schedule_class", np.zeros(len(z), int))
    options.setdefault("keep", (0, hours))
    if "geometry" not in options:
        options.setdefault("stream", np.zeros((len(z), len(wx), 3 * w.shape[1] + o.shape[1])))
    wind = options.pop("wind", (np.zeros(len(wx), int), np.zeros(1)))
    return iso52016.simulate(o, w, z, classes, s, wx, *wind, np.arange(hours) * 12 // hours, **options)


def random_zones(n, seed=0, hours=600, k=4, kw=2):
    """Return arguments of zones that differ in everything, under a weather with sun."""
    r = np.random.default_rng(seed)
    o, w = elements(n, k), windows(n, kw)
    o[..., O["area"]] *= r.uniform(0.3, 2, (n, k))
    o[..., O["absorptance"]], o[..., O["sky_share"]] = r.uniform(0.2, 0.9, (2, n, k))
    o[..., O["exterior_convection_wind"]], o[..., O["solar_share"]] = 3.0, 0.9 / k
    w[..., Wi["solar_share"]], w[..., Wi["sky_share"]] = 0.05, 0.3
    z = zones(n, infiltration=20.0, ventilation=60.0, gain=300.0, convective_solar=0.1, ground_mean=11.0, ground_cosine=-4.0)
    z[:, Z["controlled_radiant"]] = r.integers(0, 2, n) * 0.5
    o[:, 0, O["boundary_conductance"]] = r.uniform(0, 3, n)
    t = np.arange(hours)
    air = 14 - 12 * np.cos(2 * np.pi * t / hours) + 7 * np.sin(2 * np.pi * t / 24)
    wx = weather(air, hours, sky=air - 12)
    up = np.maximum(np.sin(2 * np.pi * t / 24), 0)
    wx[:, 4:7] = np.stack([np.cos(2 * np.pi * t / 24), -0.5 * up, up], 1)
    wx[:, 4:7] /= np.maximum(np.linalg.norm(wx[:, 4:7], axis=1), 1e-9)[:, None]
    wx[:, 7:] = up[:, None] * [700, 90, 10, 60]
    ge = np.zeros((n, kw + k, 7))
    a = r.uniform(0, 2 * np.pi, (n, kw + k))
    ge[..., 0], ge[..., 1], ge[..., 3], ge[..., 4], ge[..., 5], ge[..., 6] = np.sin(a), np.cos(a), 0.5, 1, 0.5, r.uniform(0, 1)
    s = np.zeros((3, hours, 4))
    s[..., 0] = (t % 24 > 7) & (t % 24 < 19)
    s[1, :, 1] = t % 24 < 6
    s[..., 2], s[..., 3] = 20, 26
    s[2, :, 2] = np.where(t % 24 < 6, 15, 20)
    wind = wind_classes(r.uniform(0, 8, hours))
    return {
        "o": o, "w": w, "z": z, "wx": wx, "geometry": ge, "schedules": s, "schedule_class": r.integers(0, 3, n),
        "wind": (wind[1], wind[0]), "warm_up": 240,
    }  # fmt: skip


def part(case, rows):
    """Return some zones of a case."""
    return case | {k: case[k][rows] for k in ("o", "w", "z", "geometry", "schedule_class")}


def transmittance():
    """U with the films of a wall whose room radiates at T_m = T_a and whose sky is as warm as the air."""
    return 1 / (1 / (HCI + HRI) + math.fsum(RESISTANCE) + 1 / (HE + HRE))


def test_nodes_keep_resistance_and_capacity_of_the_layers():
    r, c = np.array([0.1, 3.0, 0.02, 0.4]), np.array([9e3, 1e3, 0.0, 2e5])
    capacity, conductance = element_nodes(np.r_[r, r[::-1]], np.r_[c, c[::-1]], [0, 4, 8])
    np.testing.assert_allclose(capacity.sum(1), c.sum(), rtol=1e-14)
    np.testing.assert_allclose((1 / conductance).sum(1), r.sum(), rtol=1e-14)
    np.testing.assert_allclose(capacity[1], capacity[0][::-1], rtol=1e-12)
    assert (capacity >= 0).all() and (conductance > 0).all()


def test_nodes_of_one_layer_are_evenly_spread():
    capacity, conductance = element_nodes([1.0], [8e4], [0, 1])
    np.testing.assert_allclose(capacity[0], [1e4, 2e4, 2e4, 2e4, 1e4], rtol=1e-12)
    np.testing.assert_allclose(conductance[0], 4.0, rtol=1e-12)


def test_layers_without_mass_take_nodes_by_resistance():
    capacity, conductance = element_nodes([1.0, 3.0], [0.0, 0.0], [0, 2])
    assert not capacity.any()
    np.testing.assert_allclose(conductance[0], 1.0, rtol=1e-12)


def test_a_roof_sees_the_sky_and_a_wall_a_third_of_it():
    assert sky_share(0.0) == 1.0
    assert sky_share(math.pi / 2) == pytest.approx(0.5**1.5, rel=1e-12)
    assert sky_share(math.pi) == pytest.approx(0.0, abs=1e-12)


def test_classes_of_wind_keep_its_mean_and_its_order():
    v = np.random.default_rng(0).weibull(2, 1000) * 4
    mean, member = wind_classes(v, 4)
    assert np.bincount(member.astype(int)).tolist() == [250] * 4
    assert (np.diff(mean) > 0).all()
    assert mean[member].mean() == pytest.approx(v.mean(), rel=1e-12)


def test_steady_loss_is_u_a_dt():
    # All surfaces are alike, so the exchange of longwave between them is nothing and T_m lies between wall and air.
    z = zones(infiltration=12.0)
    found = run(elements(), windows(), z, weather(-3.0), heat=20.0, warm_up=HOURS)
    # With like surfaces radiation inside carries nothing: the film inside is convection alone.
    u = 1 / (1 / HCI + math.fsum(RESISTANCE) + 1 / (HE + HRE))
    assert found["heating_load"][0, -1] == pytest.approx((u * 3 * AREA + 12.0) * 23.0, rel=1e-9)
    assert found["operative_temperature"][0, -1] == pytest.approx(20 - 0.5 * u * 23 / HCI, rel=1e-9)


def test_steady_loss_through_a_window_is_u_a_dt():
    o = elements(exposed=False)
    found = run(o, windows(1, 2), zones(), weather(0.0), heat=20.0, warm_up=HOURS)
    # Glass and walls without loss exchange longwave through T_m, the mean over all areas, of which the glass is a part.
    to_walls = 8.0 * HRI * (1 - 8.0 / (8.0 + 3 * AREA))
    r_out = 1 / 3.0 + 1 / (HE + HRE)
    tg, tw = np.linalg.solve(
        [[8 * (HCI + 1 / r_out) + to_walls, -to_walls], [-to_walls, 3 * AREA * HCI + to_walls]],
        [8 * HCI * 20.0, 3 * AREA * HCI * 20.0],
    )
    assert tw > tg  # the walls warm the glass
    assert found["heating_load"][0, -1] == pytest.approx(8 * tg / r_out, rel=1e-9)


def test_an_adiabatic_box_stores_all_its_gains():
    z = zones(gain=500.0)
    found = run(elements(exposed=False), windows(), z, weather(5.0), gain=1.0, warm_up=0)
    held = 3 * AREA * math.fsum(STORAGE) + 2e5
    rise = np.diff(found["air_temperature"][0, -2:])[0]
    assert rise == pytest.approx(500 * 3600 / held, rel=1e-6)  # the profile has settled: all nodes rise alike
    assert found["energy_residual"][0] < 1e-12


def test_no_load_where_outdoors_is_the_set_point():
    for precision in (np.float64, np.float32):
        z = zones(infiltration=30.0)
        found = run(elements(), windows(1, 2), z, weather(20.0), heat=20.0, cool=20.0, dtype=precision)
        assert (
            found["monthly_heating_need"].sum() + found["monthly_cooling_need"].sum()
            <= 3.6e6 * HOURS * np.finfo(precision).eps * 1e4
        )


def test_the_ground_drives_an_element_by_its_conductance():
    o = elements(k=1, exposed=False)
    o[..., O["boundary_conductance"]] = 2.0
    found = run(o, windows(), zones(ground_mean=10.0), weather(35.0), heat=20.0, warm_up=HOURS)
    u = 1 / (1 / HCI + math.fsum(RESISTANCE) + 1 / 2.0)
    assert found["heating_load"][0, -1] == pytest.approx(u * AREA * 10.0, rel=1e-9)


def test_a_party_wall_changes_the_load_by_u_a_dt():
    # Two zones at 20 and 12 degC behind a common wall, each half 5 nodes, against the same zones apart.
    o = elements(2, 2)
    o[:, 1, O["exterior_convection"] :][:, :2] = 0.0
    o[:, 1, O["exterior_radiation"]] = 0.0
    o[:, 1, O["conductance_0"]] *= 2.0
    apart = run(o, windows(2), zones(2), weather(0.0), schedules=set_points(20.0, 12.0), schedule_class=[0, 1], warm_up=HOURS)
    g0 = o[0, 1, O["conductance_0"]] / 2
    joined = o.copy()
    joined[:, 1, O["boundary_conductance"]] = 1 / (2 / g0 / 2)
    partner = np.full((2, 2, 2), -1)
    partner[0, 1], partner[1, 1] = (1, 1), (0, 1)
    both = run(
        joined, windows(2), zones(2), weather(0.0), schedules=set_points(20.0, 12.0), schedule_class=[0, 1], warm_up=HOURS,
        partner=partner, building=np.zeros(2, int),
    )  # fmt: skip
    change = both["heating_load"][:, -1] - apart["heating_load"][:, -1]
    # Reference: the two zones in steady state, 4 surfaces and 2 radiant nodes, as a dense system.
    assert change[0] == pytest.approx(-change[1], rel=1e-6)
    np.testing.assert_allclose(change, party_change(), rtol=1e-6)


def set_points(*heat):
    s = np.zeros((len(heat), HOURS, 4))
    s[..., 3] = 1000.0
    for i, value in enumerate(heat):
        s[i, :, 2] = value
    return s


def party_change():
    """Solve both zones in steady state, with and without the common wall, as a dense system; return the change of load."""
    out_r, wall_r = math.fsum(RESISTANCE) + 1 / (HE + HRE), 2 * math.fsum(RESISTANCE)
    loads = []
    for through in (0.0, 1.0 / wall_r):
        a, b = np.zeros((4, 4)), np.zeros(4)  # outer and common surface of each zone
        for z, air in enumerate((20.0, 12.0)):
            for k in (0, 1):
                i, j = 2 * z + k, 2 * z + 1 - k
                a[i, i] += HCI + 0.5 * HRI
                a[i, j] -= 0.5 * HRI  # h_r (T - mean of both)
                b[i] += HCI * air
            a[2 * z, 2 * z] += 1 / out_r
            a[2 * z + 1, 2 * z + 1] += through
            a[2 * z + 1, 2 * (1 - z) + 1] -= through
        t = np.linalg.solve(a, b)
        loads.append([AREA * HCI * (2 * air - t[2 * z] - t[2 * z + 1]) for z, air in enumerate((20.0, 12.0))])
    return np.subtract(loads[1], loads[0])


def test_limited_power_is_not_exceeded_and_the_zone_cools():
    found = run(elements(), windows(), zones(infiltration=20.0, heating_limit=300.0), weather(-10.0), heat=20.0)
    assert found["heating_load"].max() == 300.0
    assert found["air_temperature"][0, -1] < 19.0


def test_the_controlled_temperature_is_held():
    z = zones(infiltration=20.0, controlled_radiant=0.5)
    found = run(elements(), windows(), z, weather(-10.0), heat=20.0)
    np.testing.assert_allclose(found["operative_temperature"], 20.0, atol=1e-10)


def test_a_wall_follows_a_daily_wave_like_the_exact_solution():
    """Amplitude and lag of the load behind a slab, against the complex solution of conduction, at fine steps.

    Five nodes of a slab with a capacity of 8 hours: 3 % of amplitude; the step of 10 minutes adds 1 %.
    """
    lam, rc, d, days, n_sub = 0.5, 1.2e6, 0.15, 20, 6
    capacity, conductance = element_nodes([d / lam], [rc * d], [0, 1])
    o = elements(k=1)
    o[..., O["capacity_0"] : O["capacity_0"] + 5] = capacity[0]
    o[..., O["conductance_0"] : O["conductance_0"] + 4] = conductance[0]
    hours = 24 * days
    t = (np.arange(hours * n_sub) + 1.0) / n_sub
    found = run(
        o,
        windows(),
        zones(air_capacity=1.0),
        weather(20 + 10 * np.cos(2 * np.pi * t / 24), hours * n_sub),
        heat=20.0,
        cool=20.0,
        sub_steps=n_sub,
        warm_up=240,
    )
    load = (found["heating_load"] - found["cooling_load"])[0, -24:]
    w = 2 * np.pi / 86400
    q = np.sqrt(1j * w * rc / lam)
    slab = np.array([[np.cosh(q * d), np.sinh(q * d) / (lam * q)], [lam * q * np.sinh(q * d), np.cosh(q * d)]])
    whole = np.array([[1, 1 / (HE + HRE)], [0, 1]]) @ slab @ np.array([[1, 1 / HCI], [0, 1]])
    exact = 10 * AREA / whole[0, 1]  # flux into the room at 20 degC, complex amplitude of cos
    phase = np.exp(-1j * w * 3600 * (np.arange(24) + 0.5))
    seen = 2 * np.mean(-load * phase)
    assert abs(seen) == pytest.approx(abs(exact), rel=0.04)
    assert np.angle(seen / exact) * 24 / (2 * np.pi) == pytest.approx(0.0, abs=0.25)  # h


def test_balance_closes_in_every_hour_with_sun_wind_ground_and_set_points():
    found = run(**random_zones(20))
    assert found["energy_residual"].max() < 1e-12  # the promise is 1e-9
    assert found["monthly_cooling_need"].sum() > 0 and found["monthly_heating_need"].sum() > 0


def test_a_stream_of_the_same_light_gives_the_same_year():
    case = random_zones(3)
    by_sky = run(**case)
    ge, wx, n_window = case.pop("geometry"), case["wx"], case["w"].shape[1]
    cosine = np.maximum(np.einsum("tc,nkc->ntk", wx[:, 4:7], ge[..., :3]), 0)
    beam = cosine * wx[None, :, 7:8] * ge[:, None, :, 6]
    other = np.einsum("tc,nkc->ntk", wx[:, 8:10], ge[..., 3:5]) + wx[None, :, 10:11] * ge[:, None, :, 5]
    stream = np.zeros((3, len(wx), 3 * n_window + case["o"].shape[1]))
    for m, (name, share) in enumerate((("transmittance", 0.7), ("outer", 0.1), ("inner", 0.05))):
        d = case["w"][:, None, :, Wi[f"{name}_diffuse"]]
        stream[:, :, m : 3 * n_window : 3] = (beam * share * cosine)[:, :, :n_window] + (other[:, :, :n_window] * d)
    stream[:, :, 3 * n_window :] = (beam + other)[:, :, n_window:]
    streamed = run(**case, stream=stream)
    np.testing.assert_allclose(streamed["air_temperature"], by_sky["air_temperature"], atol=1e-9)
    np.testing.assert_allclose(streamed["heating_load"], by_sky["heating_load"], atol=1e-6)


def test_lanes_blocks_and_order_change_no_bit():
    case = random_zones(37, hours=200)
    whole = run(**case)
    order = np.random.default_rng(1).permutation(37)
    cuts = (order[:1], order[1:18], order[18:])
    for rows in cuts:
        some = run(**part(case, rows))
        for name, values in some.items():
            assert np.array_equal(values, whole[name][rows]), name


def test_the_audit_changes_no_bit():
    case = random_zones(5, hours=300)
    with_it, without = run(**case), run(**case, check=False)
    for name, values in without.items():
        if name != "energy_residual":
            assert np.array_equal(values, with_it[name]), name


def test_empty_elements_change_no_bit():
    case = random_zones(5, hours=100)
    whole = run(**case)
    wider = dict(case)
    wider["o"] = np.concatenate([case["o"], np.zeros((5, 2, len(O)))], 1)
    wider["w"] = np.concatenate([case["w"], np.zeros((5, 1, len(Wi)))], 1)
    ge = case["geometry"]
    wider["geometry"] = np.concatenate([ge[:, :2], np.zeros((5, 1, 7)), ge[:, 2:], np.zeros((5, 2, 7))], 1)
    for name, values in run(**wider).items():
        assert np.array_equal(values, whole[name]), name


def test_zones_of_a_building_may_lie_anywhere_in_the_city():
    o = elements(4, 2)
    o[:, 1, O["boundary_conductance"]] = 1.0
    partner = np.full((4, 2, 2), -1)
    partner[1, 1], partner[2, 1] = (2, 1), (1, 1)
    one = run(
        o[1:3], windows(2), zones(2), weather(0.0), heat=20.0, partner=np.array([[[-1, -1], [1, 1]], [[-1, -1], [0, 1]]]),
        building=[7, 7],
    )  # fmt: skip
    case = run(o, windows(4), zones(4), weather(0.0), heat=20.0, partner=partner, building=[0, 7, 7, 9])
    assert np.array_equal(one["heating_load"], case["heating_load"][1:3])


def test_single_precision_keeps_needs_to_1e_4():
    case = random_zones(16, hours=8760)
    case["keep"] = (0, 0)
    exact, fast = run(**case, check=False), run(**case, check=False, dtype=np.float32)
    for name in ("monthly_heating_need", "monthly_cooling_need"):
        np.testing.assert_allclose(fast[name].sum(1), exact[name].sum(1), rtol=1e-4)


def test_sums_months_and_peaks_follow_from_the_hours():
    found = run(**random_zones(3, hours=600))
    for kind in ("heating", "cooling"):
        load = found[f"{kind}_load"]
        np.testing.assert_allclose(found[f"monthly_{kind}_need"].sum(1), load.sum(1) * 3600, rtol=1e-12)
        assert np.array_equal(found[f"peak_{kind}_load"], load.max(1))
        assert np.array_equal(found[f"peak_{kind}_hour"], load.argmax(1) + 1)
    top = found["operative_temperature"]
    assert np.array_equal(found["overheating_hours"], (top > 26).sum(1))
    np.testing.assert_allclose(found["overheating_degree_hours"], np.maximum(top - 26, 0).sum(1), rtol=1e-12)
    assert np.array_equal(found["least_air_temperature"], found["air_temperature"].min(1))


def test_no_zones_give_no_rows():
    found = run(elements(0), windows(0), zones(0), weather(5.0))
    assert found["monthly_heating_need"].shape == (0, 12)


def test_wrong_shapes_are_named():
    with pytest.raises(ValueError, match=r"weather have shape \(240, 10\); expected \(240, 11\)"):
        run(elements(), windows(), zones(), weather(0.0)[:, :10])
    with pytest.raises(ValueError, match="schedule classes run from 1 to 1; there are 1"):
        run(elements(), windows(), zones(), weather(0.0), schedule_class=[1])
