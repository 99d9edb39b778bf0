"""Data laws with exact scores, and the problems made of them."""

from sdebench.problems.consistency import consistency_model
from sdebench.problems.flow import FlowProblem
from sdebench.problems.guidance import Conditional, Guided
from sdebench.problems.guided_flow import GuidedProblem, NoLaw
from sdebench.problems.labelled import LabelledMixture
from sdebench.problems.mixture import GaussianMixture
from sdebench.problems.problem import ExactModel, Problem, exact_model
from sdebench.problems.product import ProductMixture
from sdebench.problems.shipped import on_schedule

__all__ = [
    "Conditional",
    "ExactModel",
    "FlowProblem",
    "GaussianMixture",
    "Guided",
    "GuidedProblem",
    "LabelledMixture",
    "NoLaw",
    "Problem",
    "ProductMixture",
    "consistency_model",
    "exact_model",
    "on_schedule",
]
