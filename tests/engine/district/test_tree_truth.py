import numpy as np
import pytest

from felsina.engine.district.tree_truth import compare_trees, match_trees

BOX = (0.0, 0.0, 100.0, 100.0)


def true_tree(x, y, height=10.0, base=3.0, diameter=5.0):
    return {"x": x, "y": y, "height_m": height, "crown_base_m": base, "crown_diameter_m": diameter}


def table(*trees):
    names = ("tree_x", "tree_y", "tree_height", "crown_base_height", "crown_diameter")
    return dict(zip(names, np.array(trees, float).reshape(-1, 5).T, strict=True))


def test_pairs_are_the_nearest_first_and_each_tree_has_one():
    x, found = np.array([0.0, 1.5]), np.array([1.0, -1.9])
    zero = np.zeros(2)
    i, k = match_trees((x, zero, zero + 4.0), (found, zero))
    assert (i.tolist(), k.tolist()) == ([1, 0], [0, 1])


def test_a_large_crown_may_be_missed_by_half_its_radius():
    one = np.zeros(1)
    for diameter, distance, n in ((4.0, 1.99, 1), (4.0, 2.01, 0), (16.0, 3.99, 1), (16.0, 4.01, 0)):
        assert len(match_trees((one, one, one + diameter), (one, one + distance))[0]) == n


def test_f1_counts_misses_and_false_trees_but_no_bush_and_none_outside():
    truth = [true_tree(10, 10), true_tree(30, 10), true_tree(50, 10, height=1.5), true_tree(150, 10)]
    figures = compare_trees(truth, table((10, 10, 9, 3, 5), (70, 70, 9, 3, 5)), BOX)
    assert figures[0][:2] == ("crown F1", pytest.approx(2 * 1 / (2 + 2)))


def test_errors_are_those_of_the_pairs():
    truth = [true_tree(10 * k, 10) for k in range(1, 4)]
    found = table(*((10 * k, 10, 10 - k, 3 + 0.1 * k, 5 - 0.2 * k) for k in range(1, 4)))
    figures = {metric: value for metric, value, _, _ in compare_trees(truth, found, BOX)}
    assert figures["tree height error, median"] == pytest.approx(2.0)
    assert figures["tree height error, p95"] == pytest.approx(3.0)
    assert figures["crown base error, median"] == pytest.approx(0.2)
    assert figures["crown diameter error, p95"] == pytest.approx(0.6)


def test_without_trees_the_figures_are_unknown():
    figures = compare_trees([], table(), BOX)
    assert all(np.isnan(value) for _, value, _, _ in figures)
