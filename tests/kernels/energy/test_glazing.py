"""Glass by angle: laws, textbook values, published tables, and what a zone gets of it."""

import json
import math

import numpy as np
import pytest

from felsina.kernels.energy.glazing import (
    fit_terms,
    glazing_at,
    panes,
    plain_panes,
    solve_glazing,
    window_numbers,
)

CLEAR = (0.834, 0.075, 0.075, False)


def stack(*layers):
    return panes(*zip(*layers, strict=True))


GLAZINGS = {
    "single": stack(CLEAR),
    "double": stack(CLEAR, CLEAR),
    "triple": stack(CLEAR, CLEAR, CLEAR),
    "low emissivity": stack(CLEAR, (0.60, 0.17, 0.22, True)),
}


@pytest.mark.parametrize("name", GLAZINGS)
@pytest.mark.parametrize("polarised", [True, False])
def test_what_goes_through_back_and_in_adds_up_to_one(name, polarised):
    at = glazing_at(GLAZINGS[name], np.cos(np.radians(np.linspace(0, 89.9, 200))), polarised)
    np.testing.assert_allclose(at.sum(axis=1), 1.0, atol=1e-14)
    assert at.min() >= 0.0
    g = solve_glazing(GLAZINGS[name], polarised)
    assert g.transmittance_diffuse + g.reflectance_diffuse + g.absorptance_diffuse.sum() == pytest.approx(1.0, abs=1e-12)


def test_a_surface_of_glass_reflects_as_the_formula_of_normal_incidence():
    # Without absorption a pane reflects 2 r / (1 + r), r = ((n - 1) / (n + 1))^2.
    r = ((1.526 - 1) / (1.526 + 1)) ** 2
    assert glazing_at(plain_panes([1.526], [0.0]), [1.0])[0, 1] == pytest.approx(2 * r / (1 + r), rel=1e-12)


def test_at_the_angle_of_brewster_half_of_the_reflection_is_gone():
    # tan t = n: p-light is not reflected, so a pane without absorption reflects half of what it does of s-light.
    n = 1.526
    cosine = math.cos(math.atan(n))
    rs = ((1 - n * n) / (1 + n * n)) ** 2
    assert glazing_at(plain_panes([n], [0.0]), [cosine])[0, 1] == pytest.approx(rs / (1 + rs), rel=1e-12)


def test_textbook_pane():
    # Duffie and Beckman, example 5.3.1: K 32 1/m, 2.3 mm, 60 degrees: tau 0.768, rho 0.147, alpha 0.085 (three digits each).
    tau, rho, alpha = glazing_at(plain_panes([1.526], [32 * 0.0023]), [0.5])[0]
    assert (tau, rho, alpha) == pytest.approx((0.768, 0.147, 0.085), abs=1e-3)


def test_panes_without_absorption_follow_the_formula_of_covers():
    # Duffie and Beckman, eq. 5.1.6: N covers of one r let (1 - r) / (1 + (2 N - 1) r) through, each polarisation for itself.
    n = 1.526
    for angle in (0.0, 40.0, 60.0, 80.0):
        c = math.cos(math.radians(angle))
        inside = math.sqrt(1 - (1 - c * c) / n**2)
        r = (((c - n * inside) / (c + n * inside)) ** 2, ((n * c - inside) / (n * c + inside)) ** 2)
        for covers in (1, 2, 3, 4):
            want = 0.5 * sum((1 - q) / (1 + (2 * covers - 1) * q) for q in r)
            assert glazing_at(plain_panes([n] * covers, [0.0] * covers), [c])[0, 0] == pytest.approx(want, rel=1e-12)


def test_values_at_normal_incidence_come_back():
    at = glazing_at(stack(CLEAR), [1.0])[0]
    assert at == pytest.approx((0.834, 0.075, 0.091), abs=1e-12)
    coated = glazing_at(stack((0.60, 0.17, 0.22, True)), [1.0])[0]
    assert coated == pytest.approx((0.60, 0.17, 0.23), abs=1e-12)


def test_a_coated_pane_turned_round_lets_as_much_through():
    front = solve_glazing(stack((0.60, 0.17, 0.22, True)))
    back = solve_glazing(stack((0.60, 0.22, 0.17, True)))
    np.testing.assert_array_equal(front.transmittance, back.transmittance)
    assert front.reflectance[0] < back.reflectance[0]


def test_standard_double_clear_pane_by_angle(felsina_data):
    corrections = json.loads((felsina_data / "energy" / "bestest140_2020_specs.json").read_text())["corrections"]
    table = corrections["glazing_double_clear_by_incidence_0_to_90_step_10"]
    g = solve_glazing(GLAZINGS["double"], polarised=False)
    # The table is of spectral glass, whose inner pane meets light that the outer one has filtered: one broadband value per pane
    # cannot give its 0.096 and 0.072. 0.0075 is that difference at normal incidence (0.0043) and what angle adds.
    np.testing.assert_allclose(g.transmittance, table["tau"], atol=0.0075)
    np.testing.assert_allclose(g.absorptance[:, 0], table["alpha_outer"], atol=0.0075)
    np.testing.assert_allclose(g.absorptance[:, 1], table["alpha_inner"], atol=0.0075)
    diffuse = (g.transmittance_diffuse, *g.absorptance_diffuse)
    np.testing.assert_allclose(diffuse, table["hemispherical"], atol=0.0065)
    # Polarisation kept: more at 70 degrees, by 0.03.
    assert solve_glazing(GLAZINGS["double"]).transmittance[7] - g.transmittance[7] == pytest.approx(0.030, abs=0.002)


def test_hemispherical_values_are_the_mean_over_the_hemisphere():
    # By the mid-point rule in cos^2, another variable and ten times the points.
    cosine = np.sqrt((np.arange(2000) + 0.5) / 2000)
    for layers in GLAZINGS.values():
        g = solve_glazing(layers)
        want = glazing_at(layers, cosine).mean(axis=0)
        got = (g.transmittance_diffuse, g.reflectance_diffuse, *g.absorptance_diffuse)
        np.testing.assert_allclose(got, want, atol=1e-4)


@pytest.mark.parametrize("name", GLAZINGS)
def test_polynomials_follow_the_panes_to_80_degrees(name):
    g = solve_glazing(GLAZINGS[name])
    cosine = np.cos(np.radians(np.linspace(0, 80, 161)))
    at = glazing_at(GLAZINGS[name], cosine)
    power = cosine[:, None] ** np.arange(1, 6)
    np.testing.assert_allclose(power @ g.transmittance_terms, at[:, 0], atol=0.006)
    np.testing.assert_allclose(power[:, :4] @ g.absorptance_terms.T, at[:, 2:], atol=0.014)
    # Over all directions of a clear sky the errors are a quarter of a percent of the light.
    c = np.sqrt((np.arange(500) + 0.5) / 500)
    mean = (c[:, None] ** np.arange(1, 6) @ g.transmittance_terms).mean()
    assert mean == pytest.approx(g.transmittance_diffuse, abs=0.0025)


def test_a_table_is_fitted_to_its_own_polynomial():
    cosine = np.cos(np.radians(np.arange(0, 90, 10)))
    terms = np.array([0.3, 1.2, -0.9, 0.2, 0.05])
    value = cosine[:, None] ** np.arange(1, 6) @ terms
    np.testing.assert_allclose(fit_terms(cosine, value), terms, rtol=1e-6)


def test_a_zone_gets_all_that_is_absorbed():
    for layers in GLAZINGS.values():
        g = solve_glazing(layers)
        numbers = window_numbers(g)
        for k in range(4):
            total = numbers[f"outer_{k + 1}"] + numbers[f"inner_{k + 1}"]
            assert total == pytest.approx(g.absorptance_terms[:, k].sum(), abs=1e-12)
        assert numbers["outer_diffuse"] + numbers["inner_diffuse"] == pytest.approx(g.absorptance_diffuse.sum(), abs=1e-12)
        assert numbers["transmittance_3"] == g.transmittance_terms[2]
