"""The ground filter on the ISPRS filter test: manual truth for eight samples, one parameter set.

Sithole & Vosselman 2004, doi:10.1016/j.isprsjprs.2004.05.004. Pingel, Clarke & McBride 2013 report a mean kappa
of 85.4 % with a single parameter set over the whole data set, 90.02 % optimised. The set held here was chosen on these eight
samples: a fit, not a blind test. These copies have northings rounded to half a metre.
"""

import numpy as np
import pytest

from felsina.kernels.pointcloud.ground import is_ground, smrf
from felsina.kernels.pointcloud.raster import bin_points, cell_height, empty_bins

laspy = pytest.importorskip("laspy", reason="reads the samples with laspy")

SAMPLES = ("11", "21", "23", "31", "42", "51", "61", "71")
CELL = 1000  # mm


def filtered(path):
    cloud = laspy.read(path)
    east, north, height = (np.asarray(v) for v in (cloud.x, cloud.y, cloud.z))
    x = np.rint((east - np.floor(east.min())) * 1000).astype(np.int32)
    y = np.rint((np.ceil(north.max()) - north) * 1000).astype(np.int32)
    z = np.rint(height * 1000).astype(np.int32)
    ny, nx = int(y.max()) // CELL + 1, int(x.max()) // CELL + 1
    bins = empty_bins(ny, nx)
    assert bin_points(x, y, z, CELL, ny, nx, *bins) == len(cloud)
    surface = smrf(cell_height(bins.zmin, bins.n_point), CELL / 1000)
    return np.asarray(cloud.classification) == 2, is_ground(x, y, z, surface, CELL)


def kappa(truth, answer):
    agreed = (truth == answer).mean()
    chance = truth.mean() * answer.mean() + (1 - truth.mean()) * (1 - answer.mean())
    return (agreed - chance) / (1 - chance)


def test_one_parameter_set_errs_on_fewer_than_one_point_in_twenty_over_all_samples(felsina_data):
    folder = felsina_data / "lidar" / "isprs_filter_test"
    if not folder.is_dir():
        pytest.skip(f"no ISPRS samples in {folder}")
    errors, kappas = {}, {}
    for sample in SAMPLES:
        truth, answer = filtered(folder / f"samp{sample}.laz")
        errors[sample], kappas[sample] = float((truth != answer).mean()), float(kappa(truth, answer))
    # Measured 3.55 % and 89.0 %; samples 11 and 23 (steep, vegetated, dense town) are the hard ones.
    assert np.mean(list(errors.values())) <= 0.04, errors
    assert np.mean(list(kappas.values())) >= 0.88, kappas
    assert max(errors.values()) <= 0.10, errors
