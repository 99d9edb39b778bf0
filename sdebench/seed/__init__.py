"""The seed, statement by statement: every formula of the slides, evaluated as printed and as it should be."""

# In the order of the slides.
from . import forward, euler, chains, reverse, training, equivalence, family, flow, dpm  # noqa: F401, I001
from . import consistency, distillation  # noqa: F401
from .statement import CORRECTIONS, STATEMENTS, Outcome, Statement, get

__all__ = ["CORRECTIONS", "STATEMENTS", "Outcome", "Statement", "get"]
