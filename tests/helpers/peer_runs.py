"""What the tests of the adapters share: a Gaussian whose network is exact, levels that are uneven, runs through a session."""

from itertools import pairwise
from math import exp, hypot

import numpy as np
import torch

from sdebench.peers import Level, RunPlan
from sdebench.peers.base import Answer

MEAN, VARIANCE = 0.3, 0.04


def network(x, told, time):
    """The exact answer on N(MEAN, VARIANCE) data, at the level told."""
    a, s = told
    gap = (x.double() - a * MEAN) / (a * a * VARIANCE + s * s)
    return Answer(MEAN + a * VARIANCE * gap, s * gap)


class Asked:
    """The network, which keeps what it was asked."""

    def __init__(self):
        self.told, self.times, self.states = [], [], []

    def __call__(self, x, told, time):
        self.told.append(told)
        self.times.append(time)
        self.states.append(x.clone())
        return network(x, told, time)


def level_of(lam, convention="vp"):
    """The level of a lam."""
    ratio = exp(-lam)
    scale = {"vp": hypot(1, ratio), "ve": 1.0, "flow": 1 + ratio}[convention]
    return Level(1 / scale, ratio / scale)


def uneven(n, low=-2.0, high=2.0, convention="vp"):
    """n + 1 levels with unequal steps of lam, from `low` to `high`."""
    steps = 1 + 0.4 * np.cos(2.1 * np.arange(n))
    lams = low + (high - low) * np.concatenate([[0.0], np.cumsum(steps) / steps.sum()])
    return tuple(level_of(float(lam), convention) for lam in lams)


def ddim(x, levels):
    """x_t = a_t x0 + s_t eps, with x0 and eps of the network at each level."""
    for one, other in pairwise(levels):
        x0, eps, _ = network(x, one, 0.0)
        x = other.a * x0 + other.s * eps
    return x


def state(seed=0, shape=(3, 1, 2, 2)):
    """Some state."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def run(peer, plan=None, x=None, asked=None, **more):
    """(the last state, the session) of a run from some state."""
    session = peer.prepare(plan or RunPlan(**more))
    with torch.no_grad():
        return session.run(asked or network, state() if x is None else x), session


def exact(x, one, other):
    """The flow of the Gaussian between two levels: it keeps quantiles."""
    spread = [hypot(level.a * VARIANCE**0.5, level.s) for level in (one, other)]
    return other.a * MEAN + (x - one.a * MEAN) * spread[1] / spread[0]
