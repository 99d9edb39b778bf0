"""The exact consistency function of a law: where the path of the probability flow through a state ends."""

from sdebench._support.errors import UsageError
from sdebench.integration.prediction import Model
from sdebench.problems.problem import Law, checked_law
from sdebench.schedules import EDM, NoiseSchedule

_PATHS = EDM()  # of y = x/alpha against rho = sigma/alpha: the same flow on every schedule


def consistency_model(law: Law, ns: NoiseSchedule) -> Model:
    """`f(x, t)`, the x_0 at the end, where sigma = 0, of the path through x at time t, as a model of kind x0.

    Song et al. 2023, arXiv:2303.01469, section 3, with epsilon -> 0.  Not the denoiser E[x_0 | x_t], which `exact_model`
    reads as its x0: that one is no point of a path.  Raises UsageError for a law whose flow has no formula.
    """
    if not checked_law(law).has_flow:
        raise UsageError(
            f"{law!r} has no formula for its flow, so no exact consistency function: give one Gaussian, "
            "one dimension, or a ProductMixture"
        )
    return Model(lambda x, t: law.flow(x / ns.alpha(t), _PATHS, ns.rho(t), 0.0), ns, "x0")
