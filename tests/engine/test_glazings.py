"""The table of glazings and blinds: physical, solvable, refused by name."""

import numpy as np
import pytest

from felsina.engine.errors import UsageError
from felsina.engine.glazings import blind, glazing, glazing_panes
from felsina.engine.tables import read_table

ROWS = read_table("glazing.csv")


@pytest.mark.parametrize("name", [r["name"] for r in ROWS if r["kind"] == "glazing"])
def test_every_glazing_is_solved_and_lets_less_through_the_flatter_the_light(name):
    g = glazing(name)
    assert (np.diff(g.transmittance) <= 1e-9).all()
    assert 0.1 < g.transmittance_diffuse < g.transmittance[0] < 1
    np.testing.assert_allclose(g.transmittance + g.reflectance + g.absorptance.sum(axis=1), 1.0, atol=1e-12)


def test_more_panes_and_coatings_let_less_through():
    order = ["single", "double_clear", "double_low_e", "triple_low_e"]
    through = [glazing(name).transmittance_diffuse for name in order]
    assert through == sorted(through, reverse=True)
    assert len(glazing_panes("triple_low_e").kind) == 3


def test_blinds_take_no_more_than_there_is_and_open_below_where_they_close():
    for row in ROWS:
        if row["kind"] == "blind":
            b = blind(row["name"])
            assert 0 <= b.transmittance <= 1 - b.reflectance
            assert b.open_below <= b.close_above


def test_an_unknown_name_is_refused_with_the_known_ones():
    with pytest.raises(UsageError, match="'quadruple'; known are single"):
        glazing("quadruple")
    with pytest.raises(UsageError, match="shutter"):
        blind("double_clear")
