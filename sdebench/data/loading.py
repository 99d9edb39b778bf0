"""One door to every data set: by name, or by the path of a folder or an archive, whose format is seen from what it holds."""

import os
from dataclasses import replace
from pathlib import Path

from sdebench._support.download import fetch
from sdebench._support.errors import UsageError, cut, describe, near_miss, shown
from sdebench._support.files import cache
from sdebench.data import archive, blurred, digits, folder, parquet
from sdebench.data.images import Images, Part, gather

VARIABLE = "SDEBENCH_CIFAR10"
NAMES = ("digits", "cifar10", "cifar10-jpeg75")
URL = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
SHA256 = "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"  # its MD5 is c58f30108f718f92721af3b95e74349a
CIFAR10 = ((50_000, 3, 32, 32), (10_000, 3, 32, 32), 10)  # its two parts and the number of its classes
_CLASSES = 10_000  # at most
JPEG75 = "fc5a6c19d386af9b73ab3f333352f1251417accc792eb4ed29e6cc0c4a707601"  # `Images.sha256` of such a set (libjpeg-turbo)


def _parts(root: Path) -> dict[str, Part]:
    """Both parts of what lies there.  UsageError if one is missing, empty, or does not fit the other."""
    if not root.exists():
        raise UsageError(f"there is no data at {root}: give a folder or an archive of images")
    readers = (parquet, archive, folder) if root.is_dir() else (archive,)
    try:
        found = next((parts for reader in readers if (parts := reader.read(root))), {})
    except FileNotFoundError as error:  # somebody cleans up below it
        raise UsageError(
            f"{root} changed while it was read ({describe(error)}): load it again, when nobody writes there"
        ) from None
    for part in ("train", "test"):
        if part not in found:
            what = f"{part}-*.parquet, {part}/CLASS/*.png, or the python archive of CIFAR-10 or CIFAR-100"
            raise UsageError(f"{root} holds no {part} images{_seen(root)}: give a folder with {what}")
    train, test = found["train"], found["test"]
    if train.pixels.shape[1:] != test.pixels.shape[1:]:
        sizes = f"{train.pixels.shape[1:]} in train and {test.pixels.shape[1:]} in test"
        raise UsageError(f"{root} has images (C, H, W) of {sizes}: give images of one size and kind")
    if train.labels.max() >= _CLASSES:
        raise UsageError(f"{root} has a label {train.labels.max()}: number the classes 0, 1, ..., {_CLASSES} at most")
    if min(train.labels.min(), test.labels.min()) < 0 or test.labels.max() > train.labels.max():
        raise UsageError(f"{root} has labels that are negative, or in test only: number the classes 0, 1, ... as in train")
    return found


def _seen(root: Path) -> str:
    """What is there instead, in a few words."""
    if not root.is_dir():
        return ""
    names = sorted(f"{path.name}/" if path.is_dir() else path.name for path in root.iterdir())
    return f" (it has {cut(', '.join(names[:6]))}{', ...' if len(names) > 6 else ''})" if names else " (it is empty)"


def _named(images: Images, stored: set[str], own: str) -> Images:
    """The images under the name that their content earns: what was lossily stored is never called `cifar10`."""
    facts = tuple(images.train.shape), tuple(images.test.shape), images.classes
    base = "cifar10" if facts == CIFAR10 else f"own-{own}"
    if images.sha256 == JPEG75:  # also where the decoded pixels were stored again, as PNG say
        stored = {"jpeg75"}
    return replace(images, name=base + {"exact": "", "jpeg75": "-jpeg75"}.get("/".join(stored), "-jpeg"))


def _read(root: Path) -> Images:
    parts = _parts(root)
    return _named(gather("", **parts), parts["train"].stored | parts["test"].stored, root.name.split(".")[0])


def _cifar10(name: str, root: Path | None, download: bool) -> Images:
    if download:
        root = fetch(URL, SHA256, Path(root or cache()) / archive.ARCHIVE)
    told = None if root else os.environ.get(VARIABLE)
    root = Path(root or told or cache() / archive.ARCHIVE)
    if root.parent == cache() and not root.exists():
        raise UsageError(f"no {name} here: set {VARIABLE} to its folder or archive, give --data PATH, or --download")
    try:
        images = _read(root)
    except UsageError as error:
        raise UsageError(f"{VARIABLE}: {error}" if told else str(error)) from error
    if images.name.startswith("own-"):
        found = f"{len(images.train)} and {len(images.test)} images of {images.shape}, {images.classes} classes"
        raise UsageError(f"{root} holds {found}, and CIFAR-10 50000 and 10000 of (3, 32, 32), 10: give its path as --data")
    if name != "cifar10" and images.name != name:
        raise UsageError(f"{root} holds {images.name}, not {name}: set {VARIABLE} to {name}'s folder")
    return images


def _exists(path: Path) -> bool:
    """Whether something is there; at a name that no file can have, there is nothing."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def load(name_or_path: str | Path, root: Path | None = None, download: bool = False) -> Images:
    """A data set by name or path.

    "digits": carried by scikit-learn.  "cifar10": from `root`, or the variable SDEBENCH_CIFAR10, or an earlier download;
    `download` takes the official archive, and fetches it, if need be, to the folder `root` or the cache.  The name tells
    the content: `cifar10`, or `cifar10-jpeg75` where the images were stored as JPEG of quality 75 with halved
    chroma (distances to those do not compare with published figures); "cifar10-jpeg75" takes only the latter.
    "digits-exact", "cifar10-exact": exact draws of the law of the images, blurred; see `data.blurred`.
    A path: a folder of Parquet files or of images by class, of any one size, named `own-` and the folder's name.

    Raises UsageError, naming the file, for data that are not there, broken, or not of one size.
    """
    name = str(name_or_path)
    if name == "digits":
        return digits.load()
    if blurred.is_blurred(name):
        return blurred.draws(blurred.read(name, load))
    if name in NAMES:
        return _cifar10(name, root, download)
    if not _exists(Path(name)):
        allowed = ", ".join(NAMES)
        raise UsageError(f"no data set or path {shown(name)}{near_miss(name, NAMES)}; give {allowed}, a folder or an archive")
    return _read(Path(name))
