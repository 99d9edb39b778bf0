"""The seed, statement by statement: every formula of the slides, evaluated as printed and as it should be."""

from . import forward, euler, chains, reverse, training, family, flow, dpm, distillation  # noqa: F401, I001  slides' order
from .statement import CORRECTIONS, STATEMENTS, Outcome, Statement, get

__all__ = ["CORRECTIONS", "STATEMENTS", "Outcome", "Statement", "get"]
