import numpy as np
import pytest

from felsina.engine.parallel.device import open_device
from felsina.engine.parallel.halo import HaloExchange
from felsina.engine.parallel.partition import Partition
from felsina.kernels.halo import pack, unpack

OUTSIDE = -1.0
GRIDS = [((130, 200), 64, 2), ((64, 64), 64, 1), ((300, 70), 128, 3), ((5, 5), 64, 1)]
# Of the two orders that the streams of the stand-in may have, each shows other mistakes.
PLACES = [("cpu", False, "late"), ("gpu", False, "late"), ("gpu", False, "early"), ("gpu", True, "early")]


def tiles(world, device, shape, tile, width, truth):
    """Return partition, arrays of this rank's tiles with empty frames, and what full frames look like."""
    partition = Partition.of(shape, tile, world.size)
    arrays = {}
    for t in partition.tiles_of(world.rank):
        array = np.full((*truth.shape[:-2], t.j1 - t.j0 + 2 * width, t.i1 - t.i0 + 2 * width), OUTSIDE, truth.dtype)
        array[..., width:-width, width:-width] = truth[..., t.j0 : t.j1, t.i0 : t.i1]
        arrays[t.index] = device.put(array.copy())
    margins = ((0, 0),) * (truth.ndim - 2) + ((width, width),) * 2
    framed = np.pad(truth, margins, constant_values=OUTSIDE)
    windows = {t.index: framed[..., t.j0 : t.j1 + 2 * width, t.i0 : t.i1 + 2 * width] for t in partition.tiles_of(world.rank)}
    return partition, arrays, windows


def number(shape, dtype="f4", first=0):
    return (np.arange(np.prod(shape)) + first).reshape(shape).astype(dtype)


def check_frames(world, device):
    for shape, tile, width in GRIDS:
        truth = number((2, *shape))
        partition, arrays, expected = tiles(world, device, shape, tile, width, truth)
        halo = HaloExchange(world, partition, width, device)
        halo.update(arrays)
        for k, array in arrays.items():
            np.testing.assert_array_equal(device.get(array), expected[k])


def check_overlap(world, device):
    """Cells that no other tile needs change between begin and finish, three times over."""
    shape, width = (130, 200), 2
    partition, arrays, _ = tiles(world, device, shape, 64, width, number((3, *shape)))
    halo = HaloExchange(world, partition, width, device)
    assert halo.has_neighbours == (world.size > 1 and bool(arrays))
    inner = {}
    for k, array in arrays.items():
        _, nj, ni = array.shape
        box = (0, 3, 2 * width, nj - 2 * width, 2 * width, ni - 2 * width)
        inner[k] = box if box[3] > box[2] and box[5] > box[4] else None
    for step in range(3):
        truth = number((3, *shape), first=1000 * step)
        _, fresh, expected = tiles(world, device, shape, 64, width, truth)
        for k, array in arrays.items():  # the boundary columns of this step come first
            device.put(device.get(fresh[k]), array)
        halo.begin(arrays)
        for k, box in inner.items():
            if box is not None:
                size = 3 * (box[3] - box[2]) * (box[5] - box[4])
                unpack(device.full(size, -7.0 - step, "f4"), 0, box, arrays[k])
        halo.finish()
        for k, array in arrays.items():
            whole = expected[k].copy()
            if inner[k] is not None:
                _, _, j0, j1, i0, i1 = inner[k]
                whole[:, j0:j1, i0:i1] = -7.0 - step
            np.testing.assert_array_equal(device.get(array), whole)


def check_types(world, device, *extra):
    """Layers, maps and counts share one exchange; each kind has its own buffers."""
    shape, width = (130, 70), 1
    partition = Partition.of(shape, 64, world.size)
    halo = HaloExchange(world, partition, width, device)
    for leading, dtype in (((), "f8"), ((2, 3), "f4"), ((), "u4"), ((), "f8"), *extra):
        _, arrays, expected = tiles(world, device, shape, 64, width, number((*leading, *shape), dtype))
        halo.begin(arrays)
        halo.post()
        halo.post()
        halo.finish()
        for k, array in arrays.items():
            np.testing.assert_array_equal(device.get(array), expected[k])


@pytest.mark.mpi(2, 4)
def test_frames_hold_the_owners_cells_including_corners_wherever_they_live(world, cupy):
    for kind, aware, order in PLACES:
        cupy.stand_in.reset(devices=2, order=order)
        with open_device(world, kind, gpu_aware=aware) as device:
            check_frames(world, device)
            check_overlap(world, device)
            check_types(world, device)
            # CuPy's own kernels are compiled where the run is, and nothing of them is needed.
            assert cupy.stand_in.own_kernels == set()


@pytest.mark.parametrize(("kind", "aware", "order"), PLACES)
def test_frames_are_filled_without_mpi(world, cupy, kind, aware, order):
    cupy.stand_in.order = order
    with open_device(world, kind, gpu_aware=aware) as device:
        check_frames(world, device)
        check_overlap(world, device)
        check_types(world, device, ((4,), "?"))


def test_buffers_are_made_once(world, cupy, monkeypatch):
    with open_device(world, "gpu") as device:
        partition, arrays, _ = tiles(world, device, (130, 200), 64, 2, number((2, 130, 200)))
        halo, made = HaloExchange(world, partition, 2, device), []
        real = device.buffer
        monkeypatch.setattr(device, "buffer", lambda *a: made.append(a) or real(*a))
        for _ in range(3):
            halo.update(arrays)
        assert len(made) == 1  # all tiles are on this rank


def test_begin_and_finish_come_in_pairs(world, cupy):
    partition = Partition.of((64, 64), 64, 1)
    halo = HaloExchange(world, partition, 1)
    with pytest.raises(RuntimeError, match="finished that had not begun"):
        halo.finish()
    halo.begin({0: np.zeros((1, 66, 66), "f4")})
    with pytest.raises(RuntimeError, match="before the last one was finished"):
        halo.begin({0: np.zeros((1, 66, 66), "f4")})
    halo.finish()
    with pytest.raises(ValueError, match="contiguous"):
        halo.update({0: np.zeros((2, 3, 66, 132), "f4")[:, :2, :, ::2]})


@pytest.mark.parametrize("omitted", [("halo", "main"), ("main", "halo")])
def test_a_wait_that_is_left_out_is_seen_in_the_frames(world, cupy, monkeypatch, omitted):
    shape, width = (130, 200), 2
    with open_device(world, "gpu") as device:
        partition, arrays, expected = tiles(world, device, shape, 64, width, number((2, *shape)))
        out = {k: device.zeros(a.size, "f4") for k, a in arrays.items()}
        if omitted[0] == "main":
            device.synchronise()  # so that only the end is out of order
        halo = HaloExchange(world, partition, width, device)
        real = device.wait
        monkeypatch.setattr(device, "wait", lambda s, *, for_: None if (s, for_) == omitted else real(s, for_=for_))
        halo.update(arrays)
        monkeypatch.undo()
        if omitted[0] == "main":  # the kernel after the exchange reads frames too early
            for k, a in arrays.items():
                pack(a, (0, 2, 0, a.shape[1], 0, a.shape[2]), out[k])
            got = {k: device.get(v).reshape(expected[k].shape) for k, v in out.items()}
        else:  # packing reads tiles before they are there
            device.synchronise("halo")
            device.synchronise("main")
            got = {k: device.get(a) for k, a in arrays.items()}
        assert any((got[k] != expected[k]).any() for k in arrays)
