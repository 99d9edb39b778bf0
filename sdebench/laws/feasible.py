"""Which laws are to be had exactly and at a fair price: on which problem, of which method, and in which way.

gaussian     one Gaussian: mean and covariance of every method that has a tableau
quadrature   a mixture in one dimension: one-step stochastic methods by the kernels of their transitions, deterministic
             ones by the map that they are
"""

import re

from sdebench import grids
from sdebench._support.errors import UsageError
from sdebench.integration.solver import Sampler, Solver
from sdebench.integration.tableau import tableau
from sdebench.laws.kernel import Kernel, kernels
from sdebench.problems import GaussianMixture, Problem

_PROBE = 6  # steps of the run that shows whether a method has a law: more than any method remembers
_INSIDE = 1  # noises in the stages of a step, each a dimension of the quadrature


def is_gaussian(problem: Problem) -> bool:
    """Whether the problem's law is one Gaussian."""
    return isinstance(problem.law, GaussianMixture) and len(problem.law.weights) == 1


def kind_of(problem: Problem) -> str:
    """How laws are computed on a problem.  Raises UsageError where they are not."""
    if is_gaussian(problem):
        return "gaussian"
    if isinstance(problem.law, GaussianMixture) and problem.dim == 1:
        return "quadrature"
    raise UsageError(
        f"problem {problem.name!r} has no law in closed form: give one Gaussian, as 'gaussian', or a mixture "
        "in one dimension, as 'mixture-1d'"
    )


def why_not(method: Solver | Sampler, problem: Problem) -> str:
    """Why the method has no law on this problem that can be computed; empty where it has."""
    if isinstance(method, Sampler) and method.adaptive:
        return "it chooses its own steps"  # two samples of one law take the same ones only in one batch
    try:
        if kind_of(problem) == "gaussian":
            tableau(method, problem.schedule, _grid(problem), gamma=problem.model.gamma)
        elif method.stochastic:
            return _too_dear(_transitions(method, problem))
    except UsageError as error:
        what = re.split(r" \(|: ", str(error))[0]  # what came; what is allowed follows it
        return what.replace(type(method).__name__, "it")
    return ""


def has_noise_inside(method: Solver | Sampler, problem: Problem) -> bool:
    """Whether a noise enters the stages of a step: one more dimension of the quadrature."""
    return any(kernel.inside for kernel in _transitions(method, problem))


def _grid(problem: Problem) -> grids.Grid:
    return grids.uniform_lam(problem.schedule, *problem.span, _PROBE)


def _transitions(method: Solver | Sampler, problem: Problem) -> list[Kernel]:
    return [kernel for step in kernels(method, problem.model, _grid(problem)) for kernel in step]


def _too_dear(transitions: list[Kernel]) -> str:
    """Why the quadrature is not for these transitions; empty where it is."""
    if not any(kernel.width for kernel in transitions):
        return "it draws no noise"
    if max(kernel.inside for kernel in transitions) > _INSIDE:
        return f"more than {_INSIDE} noise enters its stages"  # minutes of quadrature a run
    return ""
