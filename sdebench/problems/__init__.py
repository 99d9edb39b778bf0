"""Data laws with exact scores, and the problems made of them."""

from .consistency import consistency_model
from .mixture import GaussianMixture
from .problem import ExactModel, Problem, exact_model
from .product import ProductMixture
from .shipped import on_schedule

__all__ = ["ExactModel", "GaussianMixture", "Problem", "ProductMixture", "consistency_model", "exact_model", "on_schedule"]
