"""Brownian trees and intervals of torchsde as increments of one path: their covariances, their areas, and nothing stays."""

from math import sqrt

import numpy as np
import pytest
import torch

from sdebench.peers.noise import Path, brownian_path

torchsde = pytest.importorskip("torchsde")
BrownianInterval, BrownianTree = torchsde.BrownianInterval, torchsde.BrownianTree  # as code has them that imports the names


def intervals(n=12):
    """Random intervals that overlap, of times of six digits."""
    ends = np.random.default_rng(0).uniform(0.1, 1.9, (n, 2)).round(4)
    return [(min(pair), max(pair)) for pair in ends.tolist()]


def matrix(ask, of):
    """The rows of the unit vectors that stand in the place of a path's normals: a run to learn the intervals, then one."""
    known = Path()
    with brownian_path(known):
        for a, b in of:
            ask(a, b)
    drawn = []

    def unit(shape):
        drawn.append(len(drawn))
        return torch.eye(64, dtype=torch.float64)[drawn[-1]].view(shape)

    path = Path(tuple(sorted(known.asked)), unit, known.areas)
    with brownian_path(path):
        rows = [ask(a, b) for a, b in of]
    assert len(drawn) <= path.normals
    return rows


@pytest.mark.parametrize("imported", [False, True])
@pytest.mark.parametrize("make", ["BrownianTree", "BrownianInterval"])
def test_increments_of_a_brownian_path_have_the_right_covariance(make, imported):
    """E[(w_b - w_a)(w_d - w_c)] is the length of what two intervals share."""
    w0 = torch.zeros(64, 1, dtype=torch.float64)

    def ask(a, b):
        made = globals()[make] if imported else getattr(torchsde, make)
        made = made(0.0, w0, 2.0, entropy=3) if make == "BrownianTree" else made(0.0, 2.0, size=(64, 1), dtype=torch.float64)
        return made(a, b)

    of = intervals()
    rows = torch.stack(matrix(ask, of)).squeeze(-1)
    shared = [[max(0.0, min(b, d) - max(a, c)) for c, d in of] for a, b in of]
    torch.testing.assert_close(rows @ rows.T, torch.tensor(shared, dtype=torch.float64), atol=1e-14, rtol=0)


def test_space_time_areas_have_the_right_covariance():
    """U = int_a^b (w_u - w_a) du: variance h^3/3, covariance h^2/2 with the increment; of any interval, whole or in parts."""

    def ask(a, b):
        path = BrownianInterval(0.0, 2.0, size=(64, 1), dtype=torch.float64, levy_area_approximation="space-time")
        return torch.stack(path(a, b, return_U=True)).squeeze(-1)

    of = intervals()
    for (a, b), rows in zip(of, matrix(ask, of)):
        h = b - a
        expected = torch.tensor([[h, h * h / 2], [h * h / 2, h**3 / 3]], dtype=torch.float64)
        torch.testing.assert_close(rows @ rows.T, expected, atol=1e-14, rtol=0)


def test_an_area_is_that_of_its_parts():
    """U over [a, c] is that over [a, b], that over [b, c], and (c - b)(w_b - w_a); backwards it is (b - a) w + U."""
    generator = torch.Generator().manual_seed(0)
    path = Path((0.0, 0.3, 0.7, 1.0), lambda shape: torch.randn(shape, generator=generator, dtype=torch.float64), True)
    (w1, u1), (w2, u2), (w, u) = (path.with_area(a, b, (5,)) for a, b in ((0.0, 0.7), (0.7, 1.0), (0.0, 1.0)))
    torch.testing.assert_close(w, w1 + w2)
    torch.testing.assert_close(u, u1 + u2 + 0.3 * w1)
    back = path.with_area(1.0, 0.0, (5,))
    torch.testing.assert_close(back[0], -w)
    torch.testing.assert_close(back[1], u - 1.0 * w)


def test_a_tree_rounds_its_times_as_the_real_one_does():
    """Its tolerance is 1e-6: an interval within it has no increment, and that is a fault of the law that shows."""
    path = Path()
    with brownian_path(path):
        BrownianTree(0.0, torch.zeros(1, 1), 1.0)(0.1234567, 0.5)
    assert path.asked == {0.123457, 0.5}


def test_an_interval_that_is_not_known_is_refused():
    path = Path((0.0, 1.0), torch.zeros)
    with pytest.raises(ValueError, match=r"no knot at 0\.5"):
        path.increment(0.0, 0.5, (1,))


def test_the_law_of_a_real_tree_is_that_of_the_path():
    """Monte Carlo over entropies: the variance over an interval, and the covariance of two that overlap."""
    values = torch.stack(
        [
            torch.stack([BrownianTree(0.0, torch.zeros(50, 1), 2.0, entropy=s)(a, b) for a, b in ((0.2, 1.1), (0.7, 1.9))])
            for s in range(40)
        ]
    )
    x, y = values.transpose(0, 1).flatten(1)
    assert abs(float(x.var()) - 0.9) < 4 * 0.9 * sqrt(2 / len(x))
    assert abs(float((x * y).mean()) - 0.4) < 4 * sqrt((0.9 * 1.2 + 0.16) / len(x))


def test_trees_are_themselves_again_after_an_exception():
    inside = BrownianInterval.__call__
    with pytest.raises(ZeroDivisionError), brownian_path(Path()):
        BrownianInterval(0.0, 1.0, size=(1, 1))(0.2, 1 / 0)
    assert BrownianInterval.__call__ is inside
    assert float(BrownianInterval(0.0, 1.0, size=(1000, 1))(0.2, 0.7).std()) > 0.3
