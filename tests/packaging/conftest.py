"""A district small enough to run a job on, shared by the tests of this folder."""

from pathlib import Path

import pytest

SHORT = ["--set", "heatwave.days=1", "--set", "heatwave.spin_up_days=0", "--no-report"]


@pytest.fixture(scope="session")
def tiny_city(tmp_path_factory) -> Path:
    """The city file of a generated district of 96 m."""
    from felsina.engine.io.district_files import write_district

    return write_district(tmp_path_factory.mktemp("district"), 96.0, 1)
