r"""Data laws whose samples are images and whose score is exact: a data set, each image blurred by a normal.

    x_0 = y_k + h z,      y_k one of the N images, as likely as any other, z ~ N(0, I)

`digits-exact` and `cifar10-exact` by name, `digits-exact[h=0.05]` with another h, `digits-exact[label=3]` of one class.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sdebench._support.errors import UsageError, near_miss, real, shown
from sdebench._support.registry import split_spec
from sdebench.data.images import Images, to_state, to_uint8

SOURCES = {"digits-exact": "digits", "cifar10-exact": "cifar10"}  # the law -> the data set
_TRAIN, _TEST, _SEED = 10_000, 2_000, 20_261_201


@dataclass(frozen=True)
class BlurredImages:
    """The law of a spec: `images` uint8 (N, C, H, W), their `labels` (N,), and `h`, in units where images go from -1 to 1."""

    name: str
    images: Tensor
    labels: Tensor
    h: float

    @property
    def sha256(self) -> str:
        """Of the images and of h."""
        return hashlib.sha256(self.images.numpy().tobytes() + repr(self.h).encode()).hexdigest()

    def sample(self, n: int, seed: int) -> tuple[Tensor, Tensor]:
        """`n` exact draws, float64 (n, C, H, W), and their labels."""
        rng = np.random.default_rng(seed)
        k = torch.from_numpy(rng.integers(len(self.images), size=n))
        noise = torch.from_numpy(rng.standard_normal((n, *self.images.shape[1:])))
        return to_state(self.images[k]).double() + self.h * noise, self.labels[k]


def is_blurred(spec: str) -> bool:
    """Whether a spec names such a law."""
    return spec.partition("[")[0] in SOURCES


def read(spec: str, load: Callable[[str], Images]) -> BlurredImages:
    """The law of a spec; `load` gives its data set.  Raises UsageError for a setting that it has not."""
    name, settings = split_spec(spec)
    for key in settings:
        if key not in ("h", "label"):
            raise UsageError(f"unknown setting {shown(key)} of {name}{near_miss(key, ('h', 'label'))} (it has h, label)")
    h = real(_number(settings.get("h", "0.1"), "h"), "h", 0.0, 10.0, above=True)
    source = load(SOURCES[name])
    images, labels = torch.cat([source.train, source.test]), torch.cat([source.train_labels, source.test_labels])
    if "label" in settings:
        wanted = _number(settings["label"], "label")
        if wanted not in range(source.classes):
            raise UsageError(f"label is {settings['label']}: give 0 to {source.classes - 1}")
        chosen = labels == int(wanted)
        images, labels = images[chosen], labels[chosen]
    return BlurredImages(spec, images, labels, h)


def _number(text: str, what: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise UsageError(f"{what} is {shown(text)}: give a number") from None


def draws(law: BlurredImages) -> Images:
    """A data set of exact draws, in whole grey levels as every data set: what samples of the law are compared with."""
    (train, train_labels), (test, test_labels) = (law.sample(n, seed) for n, seed in ((_TRAIN, _SEED), (_TEST, _SEED + 1)))
    digest = hashlib.sha256(f"{law.sha256} {_TRAIN} {_TEST} {_SEED}".encode()).hexdigest()
    return Images(law.name, to_uint8(train), train_labels, to_uint8(test), test_labels, digest)
