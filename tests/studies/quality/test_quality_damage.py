"""Damages to real images that are what their names say, and their distances in the record of the data."""

import pytest
import remembering_networks  # noqa: F401
import torch

from sdebench._support.errors import UsageError
from sdebench.engine.suite import expand
from sdebench.metrics.frechet import frechet
from sdebench.metrics.statistics import merged, unstack
from sdebench.studies.base import Found
from sdebench.studies.quality import damage as quality_damage
from sdebench.studies.quality import measure as quality
from sdebench.studies.quality import metrics as quality_metrics

FLAT = torch.full((1, 3, 8, 8), 0.3)


@pytest.mark.parametrize(("asked", "variance"), [(1.0, 1.0), (0.5, 0.216)])
def test_a_blur_spreads_a_point_by_its_width_in_either_direction_and_keeps_what_is_flat(asked, variance):
    """A Gaussian sampled at pixels: of deviation 1 its variance is 1 to 1e-3, of 1/2 it is 2 (e^-2 + 4 e^-8)/(1 + 2 e^-2)."""
    point = torch.zeros(1, 1, 17, 17)
    point[0, 0, 8, 8] = 1
    seen = quality_damage.blurred(point, asked)[0, 0]
    away = (torch.arange(17) - 8.0).square()
    for side in (0, 1):
        assert float(seen.sum(side) @ away) == pytest.approx(variance, abs=1e-3)
    assert torch.allclose(quality_damage.blurred(FLAT, asked), FLAT)


def test_half_resolution_is_the_mean_of_four_pixels_at_the_old_size():
    x = torch.arange(25.0).view(1, 1, 5, 5)
    seen = quality_damage.halved(x)
    assert seen.shape == x.shape
    assert (seen[0, 0, :2, :2] == (0 + 1 + 5 + 6) / 4).all()
    assert seen[0, 0, 4, 4] == 24  # a pixel alone is its own mean


def test_noise_is_five_percent_of_the_range_and_the_same_for_a_seed():
    x = torch.zeros(4, 3, 64, 64)
    assert float(quality_damage.noisy(x, 0).std()) == pytest.approx(0.05 * 2, rel=0.02)
    assert torch.equal(quality_damage.noisy(x, 0), quality_damage.noisy(x, 0))
    assert not torch.equal(quality_damage.noisy(x, 0), quality_damage.noisy(x, 1))


def measured() -> Found:
    (task,) = expand(
        {
            "study": "quality",
            "models": ["remembering_networks:gaussian"],
            "solvers": ["ddim"],
            "budgets": [4],
            "features": "digits",
            "kinds": ["data"],
        }
    )
    return quality.measure(task.case)


def test_the_record_of_the_data_says_how_far_damaged_images_are():
    """As they are, digits are as far as their test part is; what is damaged is further, a blur of one pixel most."""
    found = measured()
    told = {one["damage"]: one for one in found.data["damaged"]}
    assert list(told) == ["as they are", "noise 5 %", "half resolution", "blur ½ pixel", "blur 1 pixel", "without class 0"]
    train, test = (
        merged(unstack({k.removeprefix(f"{side}."): v for k, v in found.arrays.items() if k.startswith(side)}))
        for side in ("train", "test")
    )
    as_is = told.pop("as they are")
    assert as_is["fd"] == pytest.approx(frechet(test, train), abs=1e-4)
    assert as_is["n"] == 297
    assert told["without class 0"]["n"] == 268
    assert all(one["fd"] > as_is["fd"] and one["half_width"] > 0 for one in told.values())
    assert max(told.values(), key=lambda one: one["fd"])["damage"] == "blur 1 pixel"


def test_images_that_are_not_there_are_said_to_be_missing(monkeypatch):
    def gone(data):
        raise UsageError(f"there is no data at /some/where/{data}")

    monkeypatch.setattr(quality_metrics, "_images", gone)
    data = measured().data
    assert data["damaged"] == []
    assert data["damaged_why"] == "the images of digits were not there"


def test_other_images_of_the_same_name_are_not_taken(monkeypatch):
    from dataclasses import replace

    other = replace(quality_metrics._images("digits"), sha256="0" * 64)
    monkeypatch.setattr(quality_metrics, "_images", lambda data: other)
    assert measured().data["damaged"] == []
