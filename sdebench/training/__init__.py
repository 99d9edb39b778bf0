"""Training of score networks and classifiers, by recipes: `sdebench train`."""

from .loop import Progress, train
from .recipe import Recipe

__all__ = ["Progress", "Recipe", "train"]
