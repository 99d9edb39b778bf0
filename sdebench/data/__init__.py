"""Data sets of small images: digits, which scikit-learn carries, and CIFAR-10 or a folder of one's own, by path."""

from sdebench.data.images import Images, to_state, to_uint8
from sdebench.data.loading import load

__all__ = ["Images", "load", "to_state", "to_uint8"]
