"""Every GPU driver gives what its CPU driver gives: its PTX on the interpreter, and its element function on the host."""

import functools
import itertools
from types import SimpleNamespace

import numpy as np
import pytest
from gpu_twins.every_case import CASES, DRIVERS, case_of, identifier
from gpu_twins.harness import difference, on_cpu, on_device, unchecked
from gpu_twins.interpreter import Fault, interpret, use_interpreter

pytestmark = pytest.mark.usefixtures("compiled")
ARCHITECTURES = [(8, 0), (9, 0)]
every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
every_driver = pytest.mark.parametrize(("kernel", "kind"), DRIVERS, ids=[identifier(*d) for d in DRIVERS])


@functools.cache
def expected(name):
    return on_cpu(CASES[name])


def test_every_gpu_driver_has_a_case():
    assert unchecked(list(CASES.values())) == set()


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=["sm_80", "sm_90"])
@every_case
def test_the_ptx_gives_what_the_cpu_gives(case, architecture, stand_in, report):
    with use_interpreter(architecture):
        found = on_device(case)
    ratio = difference(case, expected(case.name), found)
    assert ratio <= 1, f"{ratio:.3g} times what is allowed"
    assert set(stand_in.launches) == {kernel.entry(kind) for kernel, kind in case.kernels}
    sentence = "Largest difference of PTX and CPU as a part of what is allowed"
    report[sentence] = max(report.get(sentence, (0.0, "")), (ratio, case.name))


@every_case
def test_the_element_function_on_the_host_gives_what_the_cpu_gives(case, stand_in):
    ratio = difference(case, expected(case.name), on_device(case))
    assert ratio <= 1, f"{ratio:.3g} times what is allowed"


# -- the checks see what they are for -----------------------------------------------------------------------------------
def first_launch(case, entry, stand_in):
    """Return grid, block, arguments and PTX of the first launch of a kernel by a case, before it is carried out."""
    found = []

    def execute(name, path, grid, block, arguments):
        from gpu_twins.interpreter import _beside, run_interpreted

        if name == entry and not found:
            found.append((_beside(path), grid, block, [frozen(a) for a in arguments]))
        run_interpreted(name, path, grid, block, arguments)

    stand_in.execute = execute
    on_device(case)
    return found[0]


def frozen(argument):
    """Return an argument with a copy of its memory."""
    return copy_of(argument, argument._held) if hasattr(argument, "_held") else argument


def copy_of(argument, values):
    held = values.copy()
    raw = held.reshape(-1).view(np.uint8)
    return SimpleNamespace(_held=held, block=SimpleNamespace(ptr=raw.ctypes.data, bytes=raw))


def fault_of(text, entry, grid, block, arguments):
    try:
        interpret(text, entry, grid, block, tuple(arguments))
    except Fault as fault:
        return str(fault)
    return ""


@every_driver
def test_an_array_that_is_too_short_is_noticed(kernel, kind, stand_in):
    # A launch over some rows only may need no more than two thirds of any array.
    case = case_of(kernel, kind)
    assert case is not None, "no case"
    text, grid, block, arguments = first_launch(case, kernel.entry(kind), stand_in)
    noticed = ""
    for k, share in itertools.product(range(len(arguments)), (2 / 3, 0.0)):
        if hasattr(arguments[k], "_held") and not noticed:
            given = [frozen(a) for a in arguments]
            flat = arguments[k]._held.reshape(-1)
            given[k] = copy_of(arguments[k], flat[: max(1, int(share * flat.size))])
            noticed = fault_of(text, kernel.entry(kind), grid, block, given)
            assert not noticed or ("out of bounds" in noticed and f"parameter {k}," in noticed)
    assert noticed
