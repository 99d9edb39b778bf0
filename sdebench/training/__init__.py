"""Training of score networks and classifiers, by recipes: `sdebench train`."""

from sdebench.training.loop import Progress, train
from sdebench.training.recipe import Recipe

__all__ = ["Progress", "Recipe", "train"]
