"""Downloads: only when asked for, whole and with the right checksum, or not at all."""

import hashlib

import pytest
from containers import as_archive, parts

from sdebench._support import download
from sdebench._support.download import fetch
from sdebench._support.errors import UsageError
from sdebench.data import load, loading

CONTENT = bytes(range(256)) * 9000  # more than two chunks
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def url(tmp_path):
    source = tmp_path / "server" / "file.bin"
    source.parent.mkdir()
    source.write_bytes(CONTENT)
    return source.as_uri()


@pytest.fixture
def target(tmp_path):
    return tmp_path / "new" / "folder" / "file.bin"


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*args, **options):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(download, "urlopen", refuse)


def test_a_file_is_loaded_once(url, target, monkeypatch):
    assert fetch(url, SHA256, target) == target
    assert target.read_bytes() == CONTENT
    monkeypatch.setattr(download, "urlopen", None)
    assert fetch(url, SHA256, target) == target
    assert [path.name for path in target.parent.iterdir()] == ["file.bin"]


def test_a_wrong_checksum_leaves_nothing(url, target):
    with pytest.raises(UsageError, match=f"{SHA256}, not {'0' * 64}"):
        fetch(url, "0" * 64, target)
    assert not list(target.parent.iterdir())


def test_a_file_that_is_there_with_another_checksum_is_refused_and_kept(url, target):
    target.parent.mkdir(parents=True)
    target.write_bytes(b"half")
    with pytest.raises(UsageError, match=r"file\.bin is not the file"):
        fetch(url, SHA256, target)
    assert target.read_bytes() == b"half"


def test_a_download_that_breaks_off_leaves_nothing(url, target, monkeypatch):
    class Torn:
        headers: dict = {}  # noqa: RUF012

        def __init__(self):
            self.left = 2

        def read(self, size=-1):
            self.left -= 1
            if not self.left:
                raise ConnectionResetError("reset by peer")
            return b"x" * 1000

        def __enter__(self):
            return self

        def __exit__(self, *exc):
            return None

    monkeypatch.setattr(download, "urlopen", lambda *args, **options: Torn())
    with pytest.raises(UsageError, match=r"reset by peer.*put the file at"):
        fetch(url, SHA256, target)
    assert not list(target.parent.iterdir())


def test_an_address_that_is_not_there_is_one_line(target):
    with pytest.raises(UsageError) as caught:
        fetch("file:///nowhere/at/all", SHA256, target)
    assert "\n" not in str(caught.value)


def test_nothing_is_downloaded_unless_asked_for(no_network, tmp_path, monkeypatch):
    monkeypatch.delenv(loading.VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for root in (None, tmp_path / "nowhere"):
        with pytest.raises(UsageError):
            load("cifar10", root)
        with pytest.raises(AssertionError, match="network"):
            load("cifar10", root, download=True)


@pytest.mark.parametrize("given", [True, False])
def test_cifar10_is_downloaded_when_asked_for_and_found_again(given, tmp_path, monkeypatch):
    data = parts()
    archive = as_archive(tmp_path / "server", data) / "cifar-10-python.tar.gz"
    monkeypatch.setattr(loading, "CIFAR10", (data["train"][0].shape, data["test"][0].shape, 3))
    monkeypatch.setattr(loading, "URL", archive.as_uri())
    monkeypatch.setattr(loading, "SHA256", hashlib.sha256(archive.read_bytes()).hexdigest())
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv(loading.VARIABLE, raising=False)
    root = tmp_path / "here" if given else None
    first = load("cifar10", root, download=True)
    assert first.name == "cifar10"
    archive.unlink()
    assert load("cifar10", root).sha256 == load("cifar10", root, download=True).sha256 == first.sha256
    assert (tmp_path / "cache").exists() != given
