"""The yardstick of a quality study, and how far samples are from it.

The statistics of a data set come along with the network that was trained to see its features, so that the data itself is not
needed; where data is named, they are made from that.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from torch import Tensor

from sdebench._support.clock import now
from sdebench._support.errors import UsageError
from sdebench.catalogue import get_solver
from sdebench.data import Images, load, to_uint8
from sdebench.metrics.features import FeatureSpace
from sdebench.metrics.kernel import kernel_distance
from sdebench.metrics.neighbours import density_coverage, precision_recall
from sdebench.metrics.sliced import sliced_wasserstein
from sdebench.metrics.statistics import Statistics, pack
from sdebench.networks import NetworkProblem
from sdebench.networks.features import SPACES, get_features
from sdebench.studies.quality import QualityCase
from sdebench.studies.quality.damage import distances
from sdebench.studies.quality.run import Sampling, Timed, grid_of, sample, steps_for, warm

PART = 50  # images of a part of the statistics, the unit of the bootstrap: of few parts, intervals are wide
BATCH = 100  # images at a time, so that memory is bounded
_COMPARED = 2000  # images of the data, at most, that samples are compared with one by one
_SIDES = ("train", "test")


class Yardstick(NamedTuple):
    """What samples are compared with, by side of the data ("train", "test"): statistics in parts, and features (m, d)."""

    parts: dict[str, list[Statistics]]
    features: dict[str, np.ndarray]


@lru_cache(maxsize=2)
def _images(data: str) -> Images:
    return load(data)


def _parts(features: np.ndarray) -> list[Statistics]:
    return [Statistics.of(features[i : i + PART]) for i in range(0, len(features), PART)]


def _seen(space: FeatureSpace, images: Tensor) -> np.ndarray:
    """The features of any number of images, (n, d)."""
    return np.concatenate([space(batch) for batch in images.split(BATCH)])


@lru_cache(maxsize=4)
def yardstick(features: str, data: str, device: str) -> Yardstick:
    """That of the data; for data "", the one that came along with the feature network."""
    space = get_features(features, device)
    if not data:
        return Yardstick(*({side: of(side) for side in _SIDES} for of in (space.reference, space.reference_features)))  # type: ignore[arg-type]  # in the order of its fields
    seen = {side: _seen(space, getattr(_images(data), side)) for side in _SIDES}
    return Yardstick({side: _parts(seen[side]) for side in _SIDES}, {side: seen[side][:_COMPARED] for side in _SIDES})


def described(problem: NetworkProblem, features: str, data: str, device: str) -> dict[str, str]:
    """The settings of a case that name its features and data; `features` may be "", for those that see the network's data.

    All are "" where no features are known (`why_no_features`).  Raises UsageError where the network's images are not of the
    data's shape.
    """
    data = data or problem.card.get("draws", "")  # an exact law is compared with its own draws
    features = features or _known_features(problem, data)
    if not features:
        return {"features": "", "data": "", "data_sha256": ""}
    about = _images(data) if data else get_features(features, device).data
    if tuple(about.shape) != tuple(problem.shape):
        raise UsageError(
            f"network {problem.name!r} makes images {tuple(problem.shape)}, and the data {about.name!r} has "
            f"{tuple(about.shape)}: give a network and data of one shape"
        )
    return {"features": features, "data": data, "data_sha256": about.sha256[:16]}


def _known_features(problem: NetworkProblem, data: str) -> str:
    """The feature space that sees the data, or that of the network; "" where none does."""
    track = _images(data).name if data else problem.card.get("data", {}).get("name", "")
    return next((space for space in SPACES if track.startswith(space)), "")


def why_no_features(problem: NetworkProblem, features: str, data: str) -> str:
    """Why samples of the network cannot be compared with data; empty where they can."""
    if features or _known_features(problem, data):
        return ""
    return (
        f"the quality of {problem.name!r}, for no feature space is known of its data: give --features, "
        f"one of {', '.join(SPACES)}, inception:PATH, or a classifier's folder"
    )


def _compared_with(case: QualityCase) -> dict:
    """What a record says of the data and the features; nothing where a case has none."""
    if not case.features:
        return {"data": "", "data_sha256": "", "metric": "", "features": {}}
    space = get_features(case.features, case.device)
    about = _images(case.data) if case.data else space.data
    return {
        "data": about.name,
        "data_sha256": about.sha256,
        "metric": space.name,
        "features": {"name": space.name, "dim": space.dim, "sha256": space.sha256},
    }


def context(case: QualityCase, problem: NetworkProblem) -> dict:
    """What a record says of the network and of what its samples are compared with."""
    ns = problem.schedule
    return {
        "model": problem.name,
        "model_sha256": problem.sha256,
        **_compared_with(case),
        "schedule": str(ns),
        "span": list(problem.span),
        "lams": [ns.lam(t) for t in problem.span],
        "shape": list(problem.shape),
        "dim": problem.dim,
        "licence": problem.card.get("licence", ""),
        **({"exact": True} if problem.card.get("draws") else {}),
    }


def _compared(features: np.ndarray, reference: np.ndarray, seed: int) -> dict[str, float]:
    """Every measure but the Frechet distance, which is made of statistics."""
    precision, recall = precision_recall(reference, features)
    density, coverage = density_coverage(reference, features)
    return {
        "kid": kernel_distance(features, reference),
        "precision": precision,
        "recall": recall,
        "density": density,
        "coverage": coverage,
        "swd": sliced_wasserstein(features, reference, seed=seed),
    }


def _damaged(case: QualityCase, at: Sampling, train: list[Statistics]) -> dict:
    """ "damaged": how far real images are that were damaged a little; or why there is none, where their images are not here."""
    space = get_features(case.features, at.device)
    about = _images(case.data) if case.data else space.data
    try:
        images = _images(case.data or about.name)
    except UsageError:
        images = None
    if images is None or images.sha256 != about.sha256:
        return {"damaged": [], "damaged_why": f"the images of {about.name} were not there"}
    return {"damaged": distances(images, lambda some: _seen(space, some), train, at.seed)}


def of_data(case: QualityCase, at: Sampling) -> tuple[dict, dict]:
    """(data, arrays) of a case of kind "data": the train side stands where samples do, and is compared with the test side;
    so are test images that were damaged on purpose, where the images are there."""
    held = yardstick(case.features, case.data, at.device)
    counts = {side: sum(part.count for part in held.parts[side]) for side in _SIDES}
    arrays = {f"{side}.{name}": array for side in _SIDES for name, array in pack(held.parts[side]).items()}
    told = counts | _compared(held.features["train"], held.features["test"], at.seed)
    return told | _damaged(case, at, held.parts["train"]), arrays


def of_samples(case: QualityCase, at: Sampling, batch: int = BATCH) -> tuple[dict, dict]:
    """(data, arrays) of a case of kind "samples".  Raises RuntimeError where no sample is finite."""
    solver, space = get_solver(case.solver), get_features(case.features, at.device)
    n = steps_for(solver, at.problem, case.grid, case.budget)
    grid, model = grid_of(at.problem, case.grid, n), Timed(at.problem.model, at.device)
    seconds, lost, features, end = 0.0, 0, [], case.first + case.size
    warm(at, min(batch, case.size))
    for first in range(case.first, end, batch):
        begun = now(at.device)
        x = sample(solver, model, grid, at, first, min(batch, end - first))
        seconds += now(at.device) - begun
        lost += int((~x.isfinite()).flatten(1).any(1).sum())
        features.append(space(to_uint8(x)))
    if lost == case.size:
        raise RuntimeError("no sample is finite: nan or inf at the end of the run")
    nfe, rest = divmod(model.nfe, len(features))
    if rest:
        raise RuntimeError(f"{model.nfe} network calls in {len(features)} batches: as many in each were expected")
    features = np.concatenate(features)  # type: ignore[assignment]  # from here on one array
    data = {
        "n": case.size,
        "budget": case.budget,
        "nfe": nfe,
        "steps": n,
        "exact": nfe == case.budget,
        "nonfinite": lost,
        "seconds": seconds,
        "network_seconds": model.seconds,
        "images_per_second": case.size / seconds,
        "batch": min(batch, case.size),
    }
    held = yardstick(case.features, case.data, at.device).features["test"]
    return data | _compared(features, held, at.seed), pack(_parts(features))  # type: ignore[arg-type]  # one array by now
