"""Feature spaces: the file of FID by a stand-in with its interface and closed forms, the classifiers by random ones."""

import hashlib
import os
import pickle
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from contract import checks_metrics as check
from torch import Tensor, nn

from sdebench._support.errors import UsageError
from sdebench.data import Images, to_state
from sdebench.metrics import inception
from sdebench.metrics.frechet import frechet
from sdebench.metrics.statistics import Statistics, merged
from sdebench.networks import classifier
from sdebench.networks.features import REFERENCE, ClassifierFeatures, get_features, save_reference


class StandIn(nn.Module):
    """The interface of the file of 2015, its resizing and its scaling; the features are linear: mean colour, times orthogonal
    columns of length 3."""

    def __init__(self, features: int = 2048):
        super().__init__()
        columns = np.linalg.qr(np.random.default_rng(0).standard_normal((features, 3)))[0]
        self.register_buffer("columns", torch.tensor(3 * columns, dtype=torch.float32))

    def forward(
        self, img: Tensor, return_features: bool = False, use_fp16: bool = False, no_output_bias: bool = False
    ) -> Tensor:
        b, c, h, w = img.shape
        theta = torch.eye(2, 3, device=img.device)
        theta[0, 2] += theta[0, 0] / w - theta[0, 0] / 299
        theta[1, 2] += theta[1, 1] / h - theta[1, 1] / 299
        grid = nn.functional.affine_grid(theta.unsqueeze(0).repeat(b, 1, 1), [b, c, 299, 299], align_corners=False)
        x = nn.functional.grid_sample(img.to(torch.float32), grid, "bilinear", "border", align_corners=False)
        x = (x - 128) / 128
        return x.mean((2, 3)) @ self.columns.t() if return_features else x


def scripted(path: Path, module: nn.Module) -> Path:
    with warnings.catch_warnings(action="ignore"):
        torch.jit.script(module).save(path)
    return path


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> Path:
    return scripted(tmp_path_factory.mktemp("inception") / "stand-in.pt", StandIn())


@pytest.fixture(scope="module")
def space(file) -> inception.Inception:
    return inception.Inception(file, digest(file))


def plain(colours: np.ndarray, size: int = 32) -> Tensor:
    """One image of each colour, (n, 3) of 0 .. 255."""
    return torch.tensor(colours, dtype=torch.uint8)[:, :, None, None].expand(-1, -1, size, size)


def corners(*edges: tuple[int, int]) -> np.ndarray:
    """All 8 colours whose channels are at the low or the high edge: uncorrelated, of variance (high - low)^2/4 over n."""
    return np.stack(np.meshgrid(*edges), -1).reshape(-1, 3)


def test_resizing():
    check.resizes_as_tensorflow_did(inception.resize)


def test_resizing_is_that_of_the_file():
    """The affine grid of the stand-in, written from positions in another way: to 1e-3 of 255; and at 299 nothing changes."""
    images = torch.randint(256, (2, 3, 32, 40), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    ours = inception.resize(images)
    assert ((ours / 128 - 1) - StandIn()(images)).abs().max() < 0.002
    assert ((ours / 128 - 1) - StandIn()(ours)).abs().max() < 0.002
    assert torch.equal(inception.resize(ours), ours)


def test_fid_through_a_linear_network_is_the_closed_form(space):
    """Features are 3 Q c/128, Q orthonormal, of colours c: FD = (3/128)^2 [|m - n|^2 + sum (s_i - t_i)^2], to 1e-5 (float32).

    Eight images of plain colours, uncorrelated by design, through resizing, scaling, file and statistics.
    """
    first, second = ((20, 200), (100, 110), (0, 255)), ((40, 90), (10, 250), (7, 9))
    found = frechet(*(Statistics.of(space(plain(corners(*edges)))) for edges in (first, second)))
    means = np.mean(first, axis=1) - np.mean(second, axis=1)
    spreads = (np.diff(first) - np.diff(second)) / 2 * (8 / 7) ** 0.5
    check.close(found, (3 / 128) ** 2 * (np.square(means).sum() + np.square(spreads).sum()), 1e-5)


def test_features_are_of_each_image_whatever_the_batch(space):
    images = torch.randint(256, (54, 3, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    found = space(images)
    assert found.shape == (54, 2048)
    assert found.dtype == np.float64
    assert np.allclose(np.concatenate([space(images[:7]), space(images[7:])]), found, rtol=0, atol=1e-5)
    assert np.array_equal(space(images), found)


def test_grey_images_count_as_grey_in_colour(space):
    grey = plain(np.arange(3)[:, None] * [[80, 80, 80]])
    assert np.array_equal(space(grey[:, :1]), space(grey))


def test_only_the_file_of_2015_gives_what_is_called_fid(file, space, monkeypatch):
    assert space.sha256 == digest(file)
    assert space.name == f"fd_{digest(file)[:8]}"
    monkeypatch.setattr(inception, "SHA256", digest(file))
    assert get_features(f"inception:{file}").name == "fid"
    assert inception.Inception(file, inception.SHA256.upper()).dim == 2048


def test_another_file_is_refused_before_a_byte_of_it_is_run(file, monkeypatch):
    """Unless its SHA-256 is given with it; a wrong one, or one flipped byte, is refused again."""

    def never(*_, **__):
        raise AssertionError("it was loaded")

    with monkeypatch.context() as patched:
        patched.setattr(torch.jit, "load", never)
        with pytest.raises(UsageError, match=rf"{inception.SHA256}, that of the Inception of 2015: .*#{digest(file)}"):
            get_features(f"inception:{file}")
        with pytest.raises(UsageError, match="not abc, what you gave"):
            get_features(f"inception:{file}#abc")
        flipped, content = file.with_name("flipped.pt"), bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        flipped.write_bytes(content)
        with pytest.raises(UsageError, match="what you gave"):
            get_features(f"inception:{flipped}#{digest(file)}")
    assert get_features(f"inception:{file}#{digest(file)}").dim == 2048


class Marks:
    """What a pickle with code in it does."""

    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self):
        return os.system, (f"touch {self.mark}",)


def test_a_pickle_is_no_torchscript_and_its_code_does_not_run(tmp_path):
    """Neither bare nor in PyTorch's archive, although the user vouches for the file."""
    mark = tmp_path / "ran"
    (tmp_path / "bare.pt").write_bytes(pickle.dumps(Marks(mark)))
    torch.save(Marks(mark), tmp_path / "archive.pt")
    (tmp_path / "text.pt").write_text("no network")
    (tmp_path / "empty.pt").touch()
    for path in tmp_path.glob("*.pt"):
        with pytest.raises(UsageError, match="is no TorchScript file, or damaged") as error:
            get_features(f"inception:{path}#{digest(path)}")
        assert "\n" not in str(error.value)
    assert not mark.exists()


class Other(nn.Module):
    """A network with another interface."""

    def forward(self, img: Tensor) -> Tensor:
        return img.mean((2, 3))


@pytest.mark.parametrize("module", [Other(), StandIn(1000)], ids=["another interface", "1000 features"])
def test_a_network_that_is_no_such_one_is_refused_in_a_line(module, tmp_path):
    path = scripted(tmp_path / "other.pt", module)
    with pytest.raises(UsageError, match=r"give .*not \(2, 2048\)") as error:
        inception.Inception(path, digest(path))
    assert "\n" not in str(error.value)


def test_the_file_is_loaded_from_the_web_only_if_asked_and_checked(file, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(UsageError, match="give inception:PATH, or --download"):
        get_features("inception")
    monkeypatch.setattr(inception, "URL", file.as_uri())
    with pytest.raises(UsageError, match="gave a file with SHA-256"):
        inception.standard_file(download=True)
    assert list(tmp_path.rglob("*.pt")) == []
    monkeypatch.setattr(inception, "SHA256", digest(file))
    path = inception.standard_file(download=True)
    assert path == inception.standard_file() == tmp_path / "sdebench" / "stand-in.pt"
    assert inception.Inception(path, digest(file)).name == "fid"


@pytest.mark.parametrize(
    ("images", "said"),
    [
        (torch.zeros(2, 3, 8, 8), "images are torch.float32: give torch.uint8, which `sdebench.data.to_uint8` makes"),
        (np.zeros((2, 3, 8, 8), np.uint8), "images are ndarray: give torch.uint8"),
        (torch.zeros(3, 8, 8, dtype=torch.uint8), "images of shape (3, 8, 8): give (B, C, H, W)"),
        (torch.zeros(0, 3, 8, 8, dtype=torch.uint8), "one image or more"),
        (torch.zeros(2, 4, 8, 8, dtype=torch.uint8), "images of 4 colours: give 3"),
    ],
)
def test_what_are_no_images_is_refused(space, images, said):
    with pytest.raises(UsageError) as error:
        space(images)
    assert said in str(error.value)


def test_no_reference_comes_with_the_file(space):
    for ask in (lambda: space.data, lambda: space.reference("train"), space.reference_features):
        with pytest.raises(UsageError, match="no statistics of data come with fd_"):
            ask()


def random_images(shape: tuple[int, int, int] = (1, 8, 8)) -> Images:
    rng = torch.Generator().manual_seed(0)
    train, test = (torch.randint(256, (n, *shape), generator=rng, dtype=torch.uint8) for n in (90, 30))
    return Images("noise", train, torch.zeros(90).long(), test, torch.zeros(30).long(), "0" * 64)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A classifier as it is initialised."""
    torch.manual_seed(0)
    net = classifier.Classifier(1, 10, [8, 16], 12)
    card = {
        "shape": [1, 8, 8],
        "classes": 10,
        "recipe": {"network": {"channels": [8, 16], "features": 12}},
        "data": {"name": "noise", "sha256": "0" * 64},
    }
    return classifier.save(tmp_path_factory.mktemp("features") / "net", net, card)


def test_features_of_a_classifier_are_its_last_but_one_layer(folder):
    images, found = random_images().train, get_features(str(folder))
    assert (found.name, found.dim, found.data) == ("fd_noise", 12, ("noise", "0" * 64, (1, 8, 8)))
    assert found.sha256 == digest(folder / classifier.WEIGHTS)
    expected = classifier.load(folder).features(to_state(images)).double().numpy()
    assert np.array_equal(found(images), expected)
    assert np.allclose(np.concatenate([found(images[:31]), found(images[31:])]), expected, rtol=0, atol=1e-6)


def test_the_reference_is_the_data_in_parts(folder):
    images, space = random_images(), ClassifierFeatures("fd_noise", folder)
    save_reference(folder, images)
    for side, whole in (("train", space(images.train)), ("test", space(images.test))):
        parts = space.reference(side)
        assert len(parts) == 20
        assert np.allclose(merged(parts).outer, Statistics.of(whole).outer, rtol=1e-12)
        assert np.array_equal(space.reference_features(side), whole)
    assert sorted(path.name for path in folder.iterdir()) == ["card.json", "model.safetensors", REFERENCE]


def test_a_reference_that_is_gone_damaged_or_of_another_network_is_refused(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "copy")
    save_reference(copy, random_images())
    path, space = copy / REFERENCE, ClassifierFeatures("fd_noise", copy)
    content = path.read_bytes()
    for wrong, said in ((content.replace(space.sha256.encode(), b"0" * 64), "other weights"), (content[:50], "cannot use")):
        path.write_bytes(wrong)
        with pytest.raises(UsageError, match=said) as error:
            space.reference("train")
        assert "\n" not in str(error.value)
    path.unlink()
    with pytest.raises(UsageError, match="name the data to compare with"):
        space.reference_features()


def test_images_of_another_shape_are_refused(folder):
    with pytest.raises(UsageError, match=r"images of shape \(3, 32, 32\), and the network of fd_noise knows \(1, 8, 8\)"):
        get_features(str(folder))(torch.zeros(2, 3, 32, 32, dtype=torch.uint8))


def test_an_unknown_space_is_refused_with_what_there_is():
    with pytest.raises(UsageError, match="unknown feature space 'digit'; did you mean 'digits'"):
        get_features("digit")
    with pytest.raises(UsageError, match=r"cannot read nowhere\.pt"):
        get_features("inception:nowhere.pt")
