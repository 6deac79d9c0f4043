from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_flow

from felsina.kernels.geometry.labelling import label_faces, minimum_cut


def _energy(cost, pairs, weight, label):
    return cost[np.arange(len(label)), label].sum() + weight[label[pairs[:, 0]] != label[pairs[:, 1]]].sum()


def _problem(random, n_face, n_label):
    cost = random.integers(0, 1000, (n_face, n_label))
    pairs = np.array([p for p in itertools.combinations(range(n_face), 2) if random.random() < 0.5], np.int64).reshape(-1, 2)
    return cost, pairs, random.integers(0, 600, len(pairs))


@pytest.mark.parametrize("seed", range(40))
def test_two_labels_reach_the_least_energy(seed):
    random = np.random.default_rng(seed)
    cost, pairs, weight = _problem(random, int(random.integers(1, 9)), 2)
    best = min(_energy(cost, pairs, weight, np.array(x)) for x in itertools.product(range(2), repeat=len(cost)))
    assert _energy(cost, pairs, weight, label_faces(cost, pairs, weight)) == best


@pytest.mark.parametrize("seed", range(40))
def test_several_labels_stay_within_twice_the_least_energy(seed):
    random = np.random.default_rng(seed)
    cost, pairs, weight = _problem(random, int(random.integers(1, 7)), 4)
    best = min(_energy(cost, pairs, weight, np.array(x)) for x in itertools.product(range(4), repeat=len(cost)))
    assert _energy(cost, pairs, weight, label_faces(cost, pairs, weight)) <= 2 * best


def test_no_weight_leaves_each_face_its_cheapest_label_with_ties_to_the_lower():
    cost = np.array([[3, 1, 1], [2, 2, 5], [0, 9, 0]])
    pairs = np.array([[0, 1], [1, 2]])
    assert label_faces(cost, pairs, np.zeros(2, np.int64)).tolist() == [1, 0, 0]


@pytest.mark.parametrize("seed", range(20))
def test_the_cut_has_the_value_of_the_maximum_flow(seed):
    random = np.random.default_rng(seed)
    n = int(random.integers(3, 12))
    dense = random.integers(0, 50, (n, n)) * (random.random((n, n)) < 0.5)
    np.fill_diagonal(dense, 0)
    arcs = np.argwhere(dense > 0)
    head, following = np.full(n, -1, np.int64), np.empty(2 * len(arcs), np.int64)
    target, capacity = np.empty(2 * len(arcs), np.int64), np.zeros(2 * len(arcs), np.int64)
    for m, (a, b) in enumerate(arcs):
        target[2 * m], target[2 * m + 1], capacity[2 * m] = b, a, dense[a, b]
        following[2 * m], head[a] = head[a], 2 * m
        following[2 * m + 1], head[b] = head[b], 2 * m + 1
    level = np.empty(n, np.int64)
    minimum_cut(n, 0, n - 1, head, following, target, capacity, level)
    side = level >= 0
    assert side[0] and not side[n - 1]
    value = maximum_flow(csr_array(dense.astype(np.int32)), 0, n - 1).flow_value
    assert dense[np.ix_(side, ~side)].sum() == value
