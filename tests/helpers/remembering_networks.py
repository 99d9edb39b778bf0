"""Networks for tests of the quality study that cost nothing: perfect memories of one Gaussian, of the digits' shape."""

import torch

from sdebench.networks import Declared
from sdebench.schedules import VPCosine

SHAPE, MEAN, DEVIATION = (1, 8, 8), -0.2, 0.6
NS = VPCosine(s=0.008)


def _eps(x, t):
    """-sigma score of N(MEAN, DEVIATION^2) at time t, computed in the dtype of x."""
    alpha, sigma = NS.alpha(t), NS.sigma(t)
    return (x - alpha * MEAN) * (sigma / (alpha**2 * DEVIATION**2 + sigma**2))


def exact(x):
    """Where the flow of the memory ends, over alpha, from the state x at the beginning of the span."""
    s, t = NS.t(-3.0), NS.t(3.0)
    wide = [(NS.alpha(u) ** 2 * DEVIATION**2 + NS.sigma(u) ** 2) ** 0.5 for u in (s, t)]
    return MEAN + wide[1] / wide[0] * (x - NS.alpha(s) * MEAN) / NS.alpha(t)


def gaussian():
    return Declared(_eps, "eps", NS, SHAPE, (-3.0, 3.0))


def colour():
    return Declared(_eps, "eps", NS, (3, 8, 8), (-3.0, 3.0))


def lost():
    return Declared(lambda x, t: x * torch.nan, "eps", NS, SHAPE, (-3.0, 3.0))


class Slow:
    """The same, at a pace at which a run can be killed; not for the few samples of an error."""

    kind, schedule, shape, lams = "eps", NS, SHAPE, (-3.0, 3.0)

    def __call__(self, x, t):
        import time

        time.sleep(0.01 if len(x) > 10 else 0.0)
        return _eps(x, t)
