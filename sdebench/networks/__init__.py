"""Trained networks: the image network, what it predicts and when, safe weights, and the ones that are shipped."""

from .discrete import Discrete
from .loading import Declared, get_network, shipped_cards, shipped_names
from .model import NetworkModel, Scaled
from .problem import NetworkProblem

__all__ = ["Declared", "Discrete", "NetworkModel", "NetworkProblem", "Scaled", "get_network", "shipped_cards", "shipped_names"]
