"""Trained networks: the image network, what it predicts and when, safe weights, and the ones that are shipped."""

from sdebench.networks.discrete import Discrete
from sdebench.networks.loading import Declared, get_network, shipped_cards, shipped_names
from sdebench.networks.model import NetworkModel, Scaled
from sdebench.networks.problem import NetworkProblem

__all__ = ["Declared", "Discrete", "NetworkModel", "NetworkProblem", "Scaled", "get_network", "shipped_cards", "shipped_names"]
