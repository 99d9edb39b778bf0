"""sdebench: the numerical-analysis suite for samplers of diffusion models.

Names load on first use, so that reading results and printing help never import torch.
"""

from importlib import import_module

__version__ = "0.1.0"

_HOMES = {
    "sdebench": (
        "schedules",
        "grids",
        "noise",
        "tableau",
        "phi",
        "problems",
        "solvers",
        "external",
        "studies",
        "report",
        "fit",
        "oracle",
        "forward",
        "family",
        "networks",
    ),
    "sdebench.errors": ("UsageError",),
    "sdebench.noise": ("WhiteNoise",),
    "sdebench.brownian": ("BrownianPath",),
    "sdebench.likelihood": ("log_likelihood",),
    "sdebench.laws.gaussian": ("gaussian_law",),
    "sdebench.prediction": ("Counted", "Model", "Prediction", "lincomb"),
    "sdebench.solver": ("Node", "Sampler", "Solver", "Step", "StochasticSolver", "integrate", "integrate_adaptive", "remember"),
    "sdebench.catalogue": ("get_problem", "get_solver", "list_problems", "list_solvers", "register_problem", "register_solver"),
    "sdebench.networks": ("get_network",),
    "sdebench.studies.order": ("measure_order",),
}
_WHERE = {name: home for home, names in _HOMES.items() for name in names}
__all__ = sorted(_WHERE)


def __getattr__(name: str):
    home = _WHERE.get(name)
    if home is None:
        near_miss = import_module("sdebench.errors").near_miss
        raise AttributeError(f"module 'sdebench' has no attribute {name!r}{near_miss(name, __all__)}")
    value = import_module(f"sdebench.{name}") if home == "sdebench" else getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__():
    return [*globals(), *__all__]
