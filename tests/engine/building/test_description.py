"""A description says what is wrong with it in a sentence that names the place, the value and the way out."""

from __future__ import annotations

import math
import tomllib

import numpy as np
import pytest

from felsina.engine.building.description import parse, read_description
from felsina.engine.building.elements import parts_of
from felsina.engine.errors import InputError

BOX = """
[materials.brick]
conductivity = 0.6
density = 1700
specific_heat = 840
[constructions.wall]
layers = [{ material = "brick", thickness = 0.3 }, { resistance = 2.0 }]
[glazings.double]
panes = [
    { transmittance = 0.834, reflectance = 0.075, thickness = 0.003, gap_conductance = 5.2 },
    { transmittance = 0.834, reflectance = 0.075, thickness = 0.003 },
]
[schedules.day]
weekday = [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0]
sunday = 0
[zones.a]
volume = 100
floor_area = 40
gains = { power = 100, schedule = "day" }
heating = { setpoint = 20 }
cooling = { setpoint = 26, limit = 2000 }
[elements.south]
construction = "wall"
area = 20
tilt = 90
azimuth = 180
[windows.south]
glazing = "double"
area = 4
tilt = 90
azimuth = 180
"""


def box(old: str = "", new: str = ""):
    assert old in BOX
    return parse(tomllib.loads(BOX.replace(old, new) if old else BOX), "b.toml")


def test_a_plain_box_is_read():
    building = box()
    assert building.zones[0].cooling_limit == 2000
    assert building.zones[0].gain_schedule.saturday[10] == 1 and building.zones[0].gain_schedule.sunday[10] == 0
    assert building.elements[0].kind == "wall"
    assert building.elements[0].construction.resistance == pytest.approx((0.5, 2.0))


def test_panes_give_the_conductance_and_the_light_of_the_stack():
    glass = box().windows[0].glazing
    assert glass.conductance == pytest.approx(1 / (1 / 5.2 + 0.006), rel=1e-12)
    # Two clear panes: tau^2 / (1 - rho^2) at normal incidence.
    assert glass.transmittance[0] == pytest.approx(0.834**2 / (1 - 0.075**2), rel=1e-6)
    absorbed = 1 - glass.transmittance[0] - (0.075 + 0.834**2 * 0.075 / (1 - 0.075**2))
    assert glass.absorptance_outer[0] + glass.absorptance_inner[0] == pytest.approx(absorbed, rel=1e-6)


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("area = 20", "area = 0", "elements.south has area = 0 m2; expected above 0 and up to 1e+07"),
        ("conductivity = 0.6", "conductivity = -1", "materials.brick has conductivity = -1 W m-1 K-1; expected above 0"),
        ("thickness = 0.3", "thickness = 0.0", "constructions.wall layer 1 has thickness = 0 m"),
        ('schedule = "day"', 'schedule = "night"', "zones.a.gains names the schedule 'night', which is not there. Known: day"),
        ("[0, 0, 0, 0, 0, 0, 0, 0, 1,", "[1,", "expected a number, or 24 numbers for hours 1 to 24"),
        ("setpoint = 26", "setpoint = 19", "zones.a is heated to 20 degC and cooled to 19 degC in hour 1 of the weekday"),
        ('construction = "wall"', 'construction = "wal"', "elements.south has construction = 'wal'; expected one of 'wall'"),
        ("volume = 100", "volumes = 100", "zones.a has no 'volume'"),
        ("tilt = 90", "tilt = 90\nalbedo = 1", "elements.south has an unknown key 'albedo'"),
        ("transmittance = 0.834", "transmittance = 0.95", "glazings.double pane 1 passes on 0.95 and throws back 0.075"),
        ("floor_area = 40", "floor_area = nan", "expected a number"),
        (
            "\narea = 4\n",
            "\narea = 4\nwidth = 1\nheight = 2\noverhang = { depth = 1 }\n",
            "windows.south has an area of 4 m2, more than its width 1 m times its height 2 m",
        ),
        (
            "[elements.south]",
            '[elements.south]\nadjacent = "attic"',
            "has adjacent = 'attic'; expected one of 'outdoor', 'ground'",
        ),
    ],
)  # fmt: skip
def test_a_mistake_is_named(old, new, sentence):
    with pytest.raises(InputError) as found:
        box(old, new)
    assert sentence in str(found.value)
    assert str(found.value).startswith("'b.toml'")


def test_a_building_without_elements_is_refused():
    with pytest.raises(InputError, match=r"has no \[elements.NAME\]"):
        box(BOX[BOX.index("[elements.south]") : BOX.index("[windows.south]")])


def test_an_extension_says_what_differs(tmp_path):
    (tmp_path / "a.toml").write_text(BOX)
    (tmp_path / "b.toml").write_text('extends = "a.toml"\n[elements.south]\narea = 30\n[windows.south]\nabsent = true\n')
    building = read_description(tmp_path / "b.toml")
    assert building.elements[0].area == 30 and not building.windows


def test_a_description_that_extends_itself_is_refused(tmp_path):
    (tmp_path / "a.toml").write_text('extends = "b.toml"')
    (tmp_path / "b.toml").write_text('extends = "a.toml"')
    with pytest.raises(InputError, match="extends itself"):
        read_description(tmp_path / "a.toml")


def test_a_common_wall_is_halved_by_resistance():
    text = (
        BOX
        + """
[zones.b]
volume = 50
floor_area = 20
[elements.common]
zone = "a"
adjacent = "b"
construction = "wall"
area = 10
tilt = 90
azimuth = 0
"""
    )
    text = text.replace("[elements.south]", '[elements.south]\nzone = "a"').replace(
        "[windows.south]", '[windows.south]\nzone = "a"'
    )
    parts = parts_of(parse(tomllib.loads(text), "b.toml"))
    near, far = parts[1:]
    assert (near.zone, far.zone, near.mate, far.mate) == (0, 1, 2, 1)
    for half in (near, far):
        assert math.fsum(r for r, _ in half.layers) == pytest.approx(1.25, rel=1e-12)
    assert math.fsum(c for p in (near, far) for _, c in p.layers) == pytest.approx(0.3 * 1700 * 840, rel=1e-12)
    # Zone a is inside: its half is insulation, and the brick is all on the side of zone b.
    assert near.layers == ((pytest.approx(1.25), 0.0),)
    assert np.isclose(far.layers[0][0], 0.75) and np.isclose(far.layers[1][0], 0.5)
