"""sdebench: the numerical-analysis suite for samplers of diffusion models.

Names load on first use, so that reading results and printing help never import torch.
"""

from importlib import import_module

from sdebench._support import moved

__version__ = "0.1.0"

_HOMES = {
    "sdebench.schedules": None,
    "sdebench.grids": None,
    "sdebench.noise": None,
    "sdebench.integration.tableau": None,
    "sdebench.phi": None,
    "sdebench.problems": None,
    "sdebench.solvers": None,
    "sdebench.external": None,
    "sdebench.studies": None,
    "sdebench.report": None,
    "sdebench.fit": None,
    "sdebench.laws.oracle": None,
    "sdebench.process.forward": None,
    "sdebench.process.family": None,
    "sdebench.networks": None,
    "sdebench.peers": None,
    "sdebench._support.errors": ("UsageError",),
    "sdebench._support.registry": ("register_grid", "register_metric", "register_problem", "register_solver", "register_study"),
    "sdebench.schedules.base": ("NoiseSchedule",),
    "sdebench.problems.mixture": ("GaussianMixture",),
    "sdebench.problems.guidance": ("guided",),
    "sdebench.problems.problem": ("Problem",),
    "sdebench.networks.loading": ("Declared", "get_network"),
    "sdebench.noise.white": ("WhiteNoise",),
    "sdebench.noise.brownian": ("BrownianPath",),
    "sdebench.laws.likelihood": ("log_likelihood",),
    "sdebench.laws.gaussian": ("gaussian_law",),
    "sdebench.integration.prediction": ("Counted", "Model", "Prediction", "lincomb"),
    "sdebench.integration.integrate": ("integrate", "integrate_adaptive"),
    "sdebench.integration.solver": ("Node", "Sampler", "Solver", "Step", "StochasticSolver", "remember"),
    "sdebench.catalogue": ("get_problem", "get_solver", "list_problems", "list_solvers"),
    "sdebench.studies.order.measurement": ("Measurement", "measure_order"),
    "sdebench.studies.results": ("load_results",),
    "sdebench.studies.base": ("Found", "Study"),
}  # module -> the names taken from it; None for the module itself, under its last name
_WHERE = {name: home for home, names in _HOMES.items() for name in names or (home.rpartition(".")[2],)}
__all__ = sorted(_WHERE)
moved.install()


def __getattr__(name: str):
    home = _WHERE.get(name)
    if home is None:
        near_miss = import_module("sdebench._support.errors").near_miss
        raise AttributeError(f"module 'sdebench' has no attribute {name!r}{near_miss(name, __all__)}")
    module = import_module(home)
    value = module if _HOMES[home] is None else getattr(module, name)
    globals()[name] = value
    return value


def __dir__():
    return [*globals(), *__all__]
