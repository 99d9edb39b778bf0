"""The exact problem of an audit: its posterior, its points, its probes, at both ends and in every convention."""

import numpy as np
import pytest
import torch
from mpmath import mp, mpf

import sdebench as sb
from sdebench.peers.base import CONVENTIONS, Level, say
from sdebench.studies.audit.world import PROBES, World, other

WORLDS = [World(), other(World())]
LEVELS = [
    Level(0.0, 1.0),
    Level(0.006, 1.0),
    Level(0.6, 0.8),
    Level(1.0, 14.6),
    Level(0.3, 0.7),
    Level(1.0, 1e-4),
    Level(1.0, 0.0),
]


@pytest.mark.parametrize("level", LEVELS, ids=str)
@pytest.mark.parametrize("world", WORLDS, ids=["first", "other"])
def test_the_posterior_is_bayes_rule(world, level):
    mp.dps = 40
    a, s = map(mpf, level)
    for x in (-0.7, 0.05, 0.4, 2.5):
        weights, means = [], []
        for w, m, sd in zip(world.weights, world.means, world.sd):
            v = a * a * mpf(sd) ** 2 + s * s
            weights.append(mpf(w) / mp.sqrt(v) * mp.exp(-((mpf(x) - a * m) ** 2) / (2 * v)))
            means.append(mpf(m) + a * mpf(sd) ** 2 * (mpf(x) - a * m) / v)
        x0 = sum(w * m for w, m in zip(weights, means)) / sum(weights)
        found, eps = (float(value[0]) for value in world.posterior(np.array([x]), level))
        assert abs(found - float(x0)) <= 1e-13 * max(1.0, abs(float(x0)))
        if level.s > 0:
            assert abs(eps - float((mpf(x) - a * x0) / s)) <= 1e-11 * max(1.0, abs(eps))


@pytest.mark.parametrize("world", WORLDS, ids=["first", "other"])
def test_points_flow_as_our_oracle_says(world):
    weights, means, covs = world.weights, [[m] for m in world.means], [[[s * s]] for s in world.sd]
    gm, ns = sb.GaussianMixture(weights, means, covs), sb.schedules.VPLinear()
    problem = sb.Problem("world", gm, ns, (ns.t(-4.0), ns.t(3.0)))
    first, last = (Level(ns.alpha(t), ns.sigma(t)) for t in (ns.t(-4.0), ns.t(3.0)))
    x = world.points(first).reshape(-1, 1)
    y, error = problem.solution_with_error(x, ns.t(-4.0), ns.t(3.0))
    assert float((y - world.points(last).reshape(-1, 1)).abs().max()) < 1e-11 + error


@pytest.mark.parametrize("level", LEVELS, ids=str)
def test_the_probes_of_a_start_tell_its_level(level):
    world = World()
    found = world.read_level(world.start(level))
    assert found == pytest.approx(level, abs=1e-15)
    assert world.start(level).shape == (world.samples + PROBES, *world.shape)


@pytest.mark.parametrize("word", ["x0", "eps", "v", "velocity", "edm"])
@pytest.mark.parametrize("convention", CONVENTIONS)
def test_each_parametrisation_says_the_same_of_the_probes(word, convention):
    world, level = World(), CONVENTIONS[convention](0.8)
    if word == "velocity" and convention != "flow":
        return  # that of a flow alone
    x = world.start(level)
    answer = world.answer(x, level)
    said = say(word, answer, x, level)
    r, a, s = level.radius, level.a / level.radius, level.s / level.radius
    c_skip, c_out = 0.25 / (0.64 + 0.25), 0.8 * 0.5 / (0.64 + 0.25) ** 0.5
    x0 = {
        "x0": lambda: said,
        "eps": lambda: (x - level.s * said) / level.a,
        "v": lambda: a * x / r - s * said,
        "velocity": lambda: x - level.s * said,
        "edm": lambda: c_skip * x / level.a + c_out * said,
    }[word]()
    assert float((x0 - answer.x0).abs().max()) < 1e-12


def test_a_consistency_function_goes_to_the_end_of_the_trajectory():
    world, level = World(), Level(0.6, 0.8)
    x = world.start(level)
    answer = world.answer(x, level, consistency=True)
    assert float((answer.x0[:-PROBES] - world.points(Level(1.0, 0.0))).abs().max()) < 1e-11
    assert torch.allclose(level.a * answer.x0[:-PROBES] + level.s * answer.eps[:-PROBES], x[:-PROBES], atol=1e-12)
