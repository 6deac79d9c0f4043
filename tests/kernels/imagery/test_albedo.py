import numpy as np

from felsina.engine.processes.imagery import albedo_coefficients
from felsina.kernels.imagery.albedo import broadband_albedo

C = albedo_coefficients()


def albedo(blue, green, red, nir, vegetated=False):
    bands = [np.array([v], "f4") for v in (blue, green, red, nir)]
    return float(broadband_albedo(*bands, np.array([vegetated]), C)[0])


def test_weights_of_what_is_not_vegetation_add_up_to_one():
    # A grey surface has the albedo of its bands: conservation of energy.
    assert C.blue + C.green + C.red == 1.0 and C.visible + C.nir == 1.0
    for grey in (0.0, 0.3, 1.0):
        np.testing.assert_allclose(albedo(grey, grey, grey, grey), grey, atol=1e-6)


def test_matches_hand_calculation():
    # 0.526 (0.443 x 0.10 + 0.317 x 0.16 + 0.240 x 0.30) + 0.474 x 0.42 = 0.526 x 0.16702 + 0.19908
    np.testing.assert_allclose(albedo(0.10, 0.16, 0.30, 0.42), 0.28693, atol=1e-5)
    # 0.526 (0.443 x 0.04 + 0.317 x 0.08 + 0.240 x 0.06) + 0.418 x 0.45
    np.testing.assert_allclose(albedo(0.04, 0.08, 0.06, 0.45, vegetated=True), 0.21834, atol=1e-5)


def test_a_missing_band_is_taken_for_its_neighbour():
    nan = np.nan
    assert albedo(nan, 0.2, 0.3, 0.4) == albedo(0.2, 0.2, 0.3, 0.4)
    assert albedo(nan, nan, 0.3, 0.4) == albedo(0.3, 0.3, 0.3, 0.4)
    assert albedo(0.1, 0.2, 0.3, nan) == albedo(0.1, 0.2, 0.3, 0.3)
    assert np.isnan(albedo(0.1, 0.2, nan, 0.4))


def test_an_albedo_is_a_share():
    assert albedo(2.0, 2.0, 2.0, 2.0) == 1.0
    assert albedo(-0.1, -0.1, -0.1, -0.1) == 0.0


def test_more_light_in_any_band_never_lowers_it():
    base = [0.1, 0.2, 0.3, 0.4]
    for k in range(4):
        more = list(base)
        more[k] += 0.05
        assert albedo(*more) > albedo(*base)
