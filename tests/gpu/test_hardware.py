"""On a real GPU every driver gives what its CPU driver gives, at the size of the tests and at one that fills the device."""

import pytest
from gpu_twins.every_case import CASES
from gpu_twins.harness import difference, on_cpu, on_device

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("size", ["small", "large"])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_the_gpu_gives_what_the_cpu_gives(case, size, device, report):
    scale = 1 if size == "small" else case.scale
    ratio = difference(case, on_cpu(case, scale=scale), on_device(case, scale=scale))
    assert ratio <= 1, f"{ratio:.3g} times what is allowed on {device}"
    sentence = f"Largest difference of {device} and CPU as a part of what is allowed"
    report[sentence] = max(report.get(sentence, (0.0, "")), (ratio, f"{case.name}, {size}"))
