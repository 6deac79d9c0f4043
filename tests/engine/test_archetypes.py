"""Archetypes: tables with sources, draws that belong to the building, schedules of the Italian rules."""

import datetime

import numpy as np
import pytest

from felsina.engine.archetypes import NEVER, VARIANTS, assign, factors, identity, read_table, schedules, size_class, uses
from felsina.engine.clock import Clock
from felsina.engine.errors import UsageError

TABLES = ["archetypes_residential", "building_uses", "construction_periods", "energy_factors", "heating_seasons", "schedules"]


@pytest.mark.parametrize("name", TABLES)
def test_every_row_of_every_table_names_its_source(name):
    rows = read_table(f"{name}.csv")
    assert rows and all(row["source"].strip() for row in rows)


def test_archetypes_carry_the_credit_that_tabula_asks_for_and_are_complete():
    rows = read_table("archetypes_residential.csv")
    assert all("IEE Projects TABULA + EPISCOPE (www.episcope.eu)" in row["source"] for row in rows)
    assert len({(r["size_class"], r["period"], r["variant"]) for r in rows}) == 4 * 8 * 3 == len(rows)


def test_the_tables_values_are_tabulas(felsina_data):
    # Apartment block 1946-60: walls 1050.2 m2 at 1.15 and 591.3 m2 at 1.683 W m-2 K-1.
    a = assign(["x"], 1950, ["residential"], 4, 1763)
    assert a.name == ["AB.IT.04.existing"]
    assert a.values["u_wall"][0] == pytest.approx((1050.2 * 1.15 + 591.3 * 1.683) / 1641.5, rel=1e-3)
    assert a.values["u_roof"][0] == pytest.approx(1.104)
    assert a.values["heat_capacity"][0] == 45 * 3600
    assert a.values["reference_need"][0] == 168.5
    assert not a.assumed[0]


def test_refurbishment_lowers_every_transmittance():
    year = np.array([1880, 1910, 1930, 1950, 1970, 1980, 2000])
    u = [assign(list("abcdefg"), year, ["residential"] * 7, 4, 1763, variant=v).values for v in VARIANTS]
    for part in ("u_wall", "u_window"):
        assert (u[1][part] < u[0][part]).all() and (u[2][part] <= u[1][part]).all()


def test_years_on_the_edge_of_a_period_fall_inside_it():
    names = assign(list("abcd"), [1945, 1946, 1960, 1961], ["residential"] * 4, 4, 1763).name
    assert [n[3:8] for n in names] == ["IT.03", "IT.04", "IT.04", "IT.05"]


def test_draws_depend_on_the_building_alone():
    ids = [f"b{i}" for i in range(400)]
    whole = assign(ids, np.nan, [""] * 400, 3, 500)
    order = np.random.default_rng(2).permutation(400)[:150]
    part = assign([ids[i] for i in order], np.nan, [""] * 150, 3, 500)
    assert part.name == [whole.name[i] for i in order]
    assert part.use == [whole.use[i] for i in order]
    assert whole.drawn_year.all() and whole.drawn_use.all() and whole.assumed.all()
    assert assign(ids, np.nan, [""] * 400, 3, 500, seed=1).name != whole.name


def test_draws_follow_the_shares_of_the_stock():
    n = 20000
    a = assign([str(i) for i in range(n)], 0, [None] * n, 3, 500)
    for row in read_table("construction_periods.csv"):
        p = float(row["share"])
        got = sum(row["period"] in name for name in a.name) / n
        assert abs(got - p) < 4 * (p * (1 - p) / n) ** 0.5  # four standard deviations of a share
    assert "unheated" not in a.use


def test_identifiers_hash_to_the_same_number_everywhere():
    # BLAKE2b-64 of "building", RFC 7693, little-endian.
    import hashlib

    assert int(identity(["building"])[0]) == int.from_bytes(hashlib.blake2b(b"building", digest_size=8).digest(), "little")
    assert len(set(identity([str(i) for i in range(1000)]).tolist())) == 1000


def test_size_classes_follow_area_floors_and_party_walls():
    got = size_class([120, 120, 800, 800, 3000], [2, 2, 3, 6, 6], [0, 0.5, 0, 0, 0])
    assert got.tolist() == [0, 1, 2, 3, 3]


def test_an_unknown_word_for_the_use_is_flagged():
    a = assign(["a", "b"], 1970, ["castle", "office"], 2, 300)
    assert a.drawn_use.tolist() == [True, False]
    assert a.assumed.all() and a.use[1] == "office"


def test_no_building_has_no_parameters():
    assert assign([], [], [], [], []).values["u_wall"].shape == (0,)


def test_shares_of_periods_and_uses_sum_to_one():
    for name in ("construction_periods", "building_uses"):
        assert sum(float(r["share"]) for r in read_table(f"{name}.csv")) == pytest.approx(1.0, abs=1e-12)


def test_heating_runs_fourteen_hours_a_day_in_zone_e_and_only_in_its_season():
    clock = Clock(first_day=datetime.date(2023, 1, 1), n_day=365, utc_offset=1.0)
    s = schedules(clock)
    home = s[uses().index("residential")]
    january, july = home[24 * 9 : 24 * 10], home[24 * 190 : 24 * 191]
    assert (january[:, 2] == 20).sum() == 14 and (january[:, 3] == NEVER).all()
    assert (july[:, 2] == -NEVER).all() and (july[:, 3] == 26).all()
    heated_days = (home[:, 2] > 0).reshape(365, 24).any(axis=1).sum()
    assert heated_days == 17 + 30 + 31 + 31 + 28 + 31 + 15
    # TABULA: 3 W m-2 on average.
    assert home[:, 0].mean() == pytest.approx(3.0, rel=0.01)
    with pytest.raises(UsageError, match="Heating zone 'Z'"):
        schedules(clock, "Z")


def test_an_office_rests_on_sunday_and_the_rows_that_copy_residential_are_marked():
    clock = Clock(first_day=datetime.date(2023, 7, 2), n_day=2, utc_offset=1.0)  # a Sunday and a Monday
    office = schedules(clock)[uses().index("office")]
    assert (office[:24, 1] == 0).all() and office[24:, 1].sum() == 10
    rows = read_table("schedules.csv")
    copies = {r["use"] for r in rows if r["assumed"] == "1"}
    assert {"office", "shop", "school", "university"} <= copies
    assert {r["use"] for r in rows} | {"unheated"} == set(uses())


def test_an_unknown_variant_is_refused():
    with pytest.raises(UsageError, match="variant 'deep'"):
        assign(["a"], 1970, ["office"], 2, 300, variant="deep")


def test_factors_are_numbers_in_credible_ranges():
    f = factors()
    assert 0.19 < f["natural_gas_emission"] < 0.21
    assert 2 <= f["cooling_cop"] <= 5
