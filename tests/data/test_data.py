"""Data sets: the same pixels are the same data in every container, and their name says how they were stored."""

import os
import re

import numpy as np
import pytest
import torch
from containers import CLASSES, as_archive, as_batches, as_folder, as_parquet, encode, parts

from sdebench._support.errors import UsageError
from sdebench.data import load, loading, to_state, to_uint8

WRITERS = (as_parquet, as_folder, as_batches, as_archive)
REAL = os.environ.get(loading.VARIABLE)


def small_cifar10(monkeypatch, data: dict) -> None:
    """Let a set of this size count as CIFAR-10."""
    shapes = [pixels.shape for pixels, _ in data.values()]
    monkeypatch.setattr(loading, "CIFAR10", (*shapes, len(CLASSES)))


def rows(pixels, labels) -> list:
    return sorted((np.asarray(image).tobytes(), int(label)) for image, label in zip(pixels, labels))


def test_every_integer_survives_the_state_and_states_go_to_the_nearest_integer():
    u = torch.arange(256, dtype=torch.uint8)
    x = to_state(u)
    assert x.dtype == torch.float32
    assert x.min() == -1
    assert x.max() == 1
    for dtype in (torch.float32, torch.float64):
        for shift in (0, 0.49 / 127.5, -0.49 / 127.5):
            assert torch.equal(to_uint8(x.to(dtype) + shift), u)
    assert to_uint8(torch.tensor([-7.0, 7.0, torch.inf, torch.nan])).tolist() == [0, 255, 255, 0]


def test_a_bfloat16_state_goes_to_the_nearest_integer_too():
    x = torch.linspace(-1, 1, 999).bfloat16()
    exact = 127.5 * (x.double() + 1)
    assert (to_uint8(x) - exact).abs().max() < 0.5 + 1e-4


def test_digits_are_all_of_scikit_learn_split_in_equal_proportion():
    from sklearn.datasets import load_digits

    d = load("digits")
    assert (d.name, d.shape, d.classes) == ("digits", (1, 8, 8), 10)
    assert (d.train.shape, d.test.shape) == ((1500, 1, 8, 8), (297, 1, 8, 8))
    assert d.train.dtype == torch.uint8
    assert d.train_labels.dtype == torch.int64
    grey, labels = load_digits(return_X_y=True)
    exact = np.array([round(255 * k / 16) for k in range(17)], np.uint8)[grey.astype(int)]
    ours = rows(torch.cat([d.train, d.test]).numpy(), torch.cat([d.train_labels, d.test_labels]))
    assert ours == rows(exact, labels)
    share = d.test_labels.bincount() / torch.as_tensor(labels).bincount()
    assert (share - 297 / 1797).abs().max() < 0.005
    assert d.sha256 == "1102477eaf8c41640a71b9901b3772f196262e21a19a31c165bbdfb1dcefbdc3"


def test_every_stretch_of_the_order_is_a_fair_sample_of_the_classes():
    d = load("digits")
    counts = torch.stack([part.bincount(minlength=10) for part in d.train_labels.split(500)])
    assert counts.min() > 30  # binomial, mean 50 and deviation 6.7; sorted classes would give 0


@pytest.mark.parametrize("write", WRITERS)
def test_the_same_pixels_are_the_same_data_in_every_container(write, tmp_path):
    data = parts()
    found = load(write(tmp_path / "some", data))
    for part, (pixels, labels) in data.items():
        assert rows(getattr(found, part).numpy(), getattr(found, f"{part}_labels")) == rows(pixels, labels)
    other = load(as_parquet(tmp_path / "other", data))
    assert found.sha256 == other.sha256
    assert torch.equal(found.train, other.train)
    assert torch.equal(found.test_labels, other.test_labels)


def test_the_hash_sees_each_pixel_label_and_part(tmp_path):
    def digest(name, change=lambda data: None):
        data = parts()
        change(data)
        return load(as_parquet(tmp_path / name, data)).sha256

    def pixel(data):
        data["test"][0][3, 2, 31, 31] ^= 1

    def label(data):
        data["train"][1][[0, 1]] = data["train"][1][[1, 0]]

    def swap(data):
        for side in (0, 1):
            data["train"][side][0], data["test"][side][0] = data["test"][side][0].copy(), data["train"][side][0].copy()

    def order(data):
        data["train"] = tuple(side[::-1] for side in data["train"])

    same = digest("same")
    assert len({same, digest("pixel", pixel), digest("label", label), digest("swap", swap)}) == 4
    assert digest("order", order) == same


def test_grey_images_have_one_channel(tmp_path):
    data = {part: (pixels[:, :1], labels) for part, (pixels, labels) in parts().items()}
    assert load(as_folder(tmp_path / "grey", data)).shape == (1, 32, 32)


def test_classes_named_by_numbers_are_these_numbers(tmp_path):
    for part in ("train", "test"):
        for label in range(11):
            file = tmp_path / part / str(label) / "a.png"
            file.parent.mkdir(parents=True)
            file.write_bytes(encode(np.full((1, 4, 4), label, np.uint8)))
    found = load(tmp_path)
    assert torch.equal(found.train[:, 0, 0, 0].long(), found.train_labels)


JPEG = {"format": "JPEG", "quality": 75, "subsampling": "4:2:0"}


@pytest.mark.parametrize(
    ("options", "suffix"),
    [({}, ""), (JPEG, "-jpeg75"), (JPEG | {"quality": 76}, "-jpeg"), (JPEG | {"subsampling": "4:4:4"}, "-jpeg")],
)
@pytest.mark.parametrize("write", [as_parquet, as_folder])
def test_the_name_says_how_the_images_were_stored(write, options, suffix, tmp_path, monkeypatch):
    data = parts()
    root = write(tmp_path / "mine.v2", data, **options)
    assert load(root).name == f"own-mine{suffix}"
    small_cifar10(monkeypatch, data)
    assert load(root).name == load("cifar10", root).name == f"cifar10{suffix}"


def test_one_lossy_image_takes_the_name_of_cifar10_away(tmp_path, monkeypatch):
    data = parts()
    small_cifar10(monkeypatch, data)
    root = as_folder(tmp_path / "mixed", data)
    assert load("cifar10", root).name == "cifar10"
    (root / "test" / "ape" / "0.png").write_bytes(encode(data["test"][0][0], **JPEG))
    assert load("cifar10", root).name == "cifar10-jpeg"


def test_the_jpeg_pixels_keep_their_name_when_they_are_stored_as_png(tmp_path, monkeypatch):
    data = parts()
    small_cifar10(monkeypatch, data)
    lossy = load("cifar10", as_parquet(tmp_path / "jpeg", data, **JPEG))
    again = {part: (getattr(lossy, part).numpy(), getattr(lossy, f"{part}_labels").numpy()) for part in data}
    monkeypatch.setattr(loading, "JPEG75", lossy.sha256)
    assert load("cifar10", as_archive(tmp_path / "png", again)).name == "cifar10-jpeg75"


def test_cifar10_comes_from_the_variable_and_the_track_asked_for_is_checked(tmp_path, monkeypatch):
    data = parts()
    small_cifar10(monkeypatch, data)
    monkeypatch.setenv(loading.VARIABLE, str(as_archive(tmp_path / "there", data)))
    assert load("cifar10").name == "cifar10"
    with pytest.raises(UsageError, match="holds cifar10, not cifar10-jpeg75"):
        load("cifar10-jpeg75")


@pytest.mark.skipif(not REAL, reason=f"set {loading.VARIABLE} to CIFAR-10's folder")
def test_the_real_cifar10_has_its_sizes_and_its_name():
    d = load("cifar10")
    assert re.fullmatch("cifar10(-jpeg75)?", d.name)
    assert (d.name == "cifar10-jpeg75") == (d.sha256 == loading.JPEG75)
    assert d.train_labels.bincount().tolist() == [5000] * 10
    assert d.test_labels.bincount().tolist() == [1000] * 10
