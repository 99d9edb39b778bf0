"""Data laws with exact scores, and the problems made of them."""

from .mixture import GaussianMixture
from .problem import ExactModel, Problem, exact_model
from .product import ProductMixture
from .shipped import on_schedule

__all__ = ["ExactModel", "GaussianMixture", "Problem", "ProductMixture", "exact_model", "on_schedule"]
