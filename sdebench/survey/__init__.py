"""The survey, statement by statement: every formula of the slides, evaluated as printed and as it should be."""

from importlib import import_module

from sdebench.survey.statement import CORRECTIONS, STATEMENTS, Outcome, Statement, get

_SLIDES = (
    "forward",
    "euler",
    "chains",
    "reverse",
    "training",
    "equivalence",
    "family",
    "flow",
    "dpm",
    "consistency",
    "distillation",
)
for _slide in _SLIDES:  # in the order of the slides, which is that of the statements
    import_module(f"sdebench.survey.{_slide}")

__all__ = ["CORRECTIONS", "STATEMENTS", "Outcome", "Statement", "get"]
