"""The feature spaces that there are: the shipped classifiers' last but one layer, and FID's Inception.

Beside a classifier's weights lie the statistics of the data that it was trained on, REFERENCE, so that samples are compared
with the data without the data.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from sdebench._support.errors import UsageError, describe, near_miss, shown
from sdebench._support.files import write_atomic
from sdebench._support.float32 import full_float32
from sdebench._support.reading import GIB, check_file, is_file
from sdebench.data import Images, to_state
from sdebench.metrics.features import FeatureSpace, pixels
from sdebench.metrics.statistics import Statistics, pack, unstack
from sdebench.networks import classifier, safe
from sdebench.networks.loading import SHIPPED

SPACES = {"digits": "features-digits", "cifar": "features-cifar10-jpeg75"}  # distances are called fd_digits and fd_cifar
REFERENCE = "reference.safetensors"
_BATCH, _PARTS, _SINGLE = 250, 20, 2000


class Data(NamedTuple):
    """What a reference was made of: the data's name, SHA-256 and (C, H, W)."""

    name: str
    sha256: str
    shape: tuple[int, int, int]


class ClassifierFeatures:
    """The penultimate features of the classifier of a folder; in float32, returned in float64.

    A Frechet distance in them is not an FID, and compares with none.  Raises UsageError for a folder that is not there or
    damaged.
    """

    def __init__(self, name: str, folder: Path, device: str = "cpu"):
        self._net, self._folder, self._device = classifier.load(folder).to(device), folder, device
        card = safe.card(folder)
        about = card.get("data", {})
        self.data = Data(str(about.get("name", "")), str(about.get("sha256", "")), tuple(card["shape"]))
        self.name, self.sha256 = name, safe.sha256(folder / classifier.WEIGHTS)
        self.dim = self._features(torch.zeros(1, *self.data.shape, dtype=torch.uint8)).shape[1]

    def __call__(self, images: Tensor) -> np.ndarray:
        """uint8 (B, *shape) -> float64 (B, dim).  Raises UsageError for images of another shape."""
        if (found := tuple(pixels(images).shape[1:])) != self.data.shape:
            raise UsageError(
                f"images of shape {found}, and the network of {self.name} knows {self.data.shape}: give images of "
                "that shape, or another feature space"
            )
        return torch.cat([self._features(part).cpu() for part in images.split(_BATCH)]).double().numpy()

    @torch.inference_mode()
    def _features(self, images: Tensor) -> Tensor:
        with full_float32():
            return self._net.features(to_state(images.to(self._device)))

    def reference(self, side: str) -> list[Statistics]:
        """The statistics of `side` of the data, "train" or "test", in parts that are fair samples of it.

        Raises UsageError where they did not come along, or are of another network.
        """
        arrays = self._reference()
        return unstack({name: arrays[f"{side}.{name}"] for name in ("count", "total", "outer")})

    def reference_features(self, side: str = "test") -> np.ndarray:
        """Features of the first 2000 images of `side` of the data, at most: float64 (m, dim)."""
        return self._reference()[f"{side}.features"].astype(np.float64)

    def _reference(self) -> dict[str, np.ndarray]:
        from safetensors import SafetensorError, safe_open

        path = self._folder / REFERENCE
        try:
            check_file(path, 4 * GIB, "name the data to compare with")
            with safe_open(path, "numpy") as file:
                if (file.metadata() or {}).get("network") == self.sha256:
                    return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
                fault = "it was made with other weights than those beside it"
        except (OSError, SafetensorError) as error:
            fault = error.strerror if isinstance(error, OSError) and error.strerror else describe(error)
        raise UsageError(f"cannot use {path} ({fault}): name the data to compare with, or train the network anew")


def save_reference(folder: Path, data: Images) -> Path:
    """Write the statistics of the data beside the classifier of the folder, whole or not at all."""
    from safetensors.numpy import save

    space = ClassifierFeatures("", folder)
    arrays = {}
    for side, images in (("train", data.train), ("test", data.test)):
        features = space(images)
        parts = np.array_split(features, min(_PARTS, len(features)))
        arrays |= {f"{side}.{name}": array for name, array in pack([Statistics.of(part) for part in parts]).items()}
        arrays[f"{side}.features"] = features[:_SINGLE].astype(np.float32)
    content = save({name: np.ascontiguousarray(array) for name, array in arrays.items()}, {"network": space.sha256})
    return write_atomic(folder / REFERENCE, content)


def get_features(spec: str, device: str = "cpu", download: bool = False) -> FeatureSpace:
    """The feature space of a spec, on that device:

        digits, cifar            the shipped classifiers: fd_digits, fd_cifar
        path/to/folder           a classifier that `sdebench train` made: fd_ and the name of its data
        inception                the Inception of 2015, from the cache, or loaded now where `download` is set: fid
        inception:PATH           the same from a file; another file is refused
        inception:PATH#SHA256    a file of the same interface, which you trust as a program: fd_ and the start of its SHA-256

    Raises UsageError for another spec, and for a file that is not there or not what it should be.
    """
    kind, colon, path = spec.partition(":")
    if kind == "inception":
        from sdebench.metrics import inception

        path, _, sha256 = path.partition("#") if colon else (inception.standard_file(download), "", "")  # type: ignore[assignment]  # a path, or its text
        return inception.Inception(path, sha256 or inception.SHA256, device)
    if spec in SPACES:
        return ClassifierFeatures(f"fd_{spec}", SHIPPED / SPACES[spec], device)
    if is_file(Path(spec) / classifier.WEIGHTS):
        return ClassifierFeatures(f"fd_{safe.card(Path(spec)).get('data', {}).get('name', 'features')}", Path(spec), device)
    near = near_miss(spec, (*SPACES, "inception"))
    raise UsageError(
        f"unknown feature space {shown(spec)}{near} (there are: {', '.join(SPACES)}, inception, inception:PATH, and "
        "folders of classifiers)"
    )
