"""Broken data: one line that names the file, whatever is wrong with it; and nothing in a file is ever run."""

import pickle
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from containers import as_archive, as_batches, as_folder, as_parquet, batch, encode, parts
from PIL import Image
from pyarrow import parquet

from sdebench import cli
from sdebench._support.errors import UsageError
from sdebench.data import load, loading


def refused(root: Path, *says: str) -> str:
    """The one line that loading this ends with; it has each of these words."""
    with pytest.raises(UsageError) as caught:
        load(root)
    message = str(caught.value)
    assert "\n" not in message
    for word in says:
        assert word in message
    return message


def test_a_broken_image_is_named(tmp_path):
    root = as_folder(tmp_path / "a", parts())
    file = root / "train" / "bee" / "4.png"
    whole = file.read_bytes()
    for content in (b"", b"no image", whole[:100], whole[: len(whole) // 2]):
        file.write_bytes(content)
        refused(root, str(file), "mend or remove")


def test_a_broken_image_in_parquet_is_named_by_its_row(tmp_path):
    root = as_parquet(tmp_path / "a", parts())
    file = root / "test-00001-of-00002.parquet"
    table = parquet.read_table(file).to_pydict()
    table["img"][2]["bytes"] = table["img"][2]["bytes"][:90]
    parquet.write_table(pa.table(table), file)
    refused(root, f"{file} row 2")


@pytest.mark.parametrize("part", ["train", "test"])
def test_images_of_the_wrong_size_are_named(part, tmp_path):
    root = as_folder(tmp_path / "a", parts())
    file = root / part / "cat" / "5.png"
    file.write_bytes(encode(np.zeros((3, 32, 31), np.uint8)))
    refused(root, str(file), "(32, 31, 3)", "(32, 32, 3)")
    file.write_bytes(encode(np.zeros((1, 32, 32), np.uint8)))
    refused(root, str(file), "(32, 32)")


def test_parts_of_two_sizes_are_refused(tmp_path):
    data = parts()
    data["test"] = (data["test"][0][:, :, :16], data["test"][1])
    refused(as_parquet(tmp_path / "a", data), "(3, 16, 32) in test")


def test_pixels_of_another_kind_are_refused(tmp_path):
    root = as_folder(tmp_path / "a", parts())
    file = root / "train" / "ape" / "0.png"
    Image.new("RGBA", (32, 32)).save(file)
    refused(root, str(file), "RGBA")


def test_no_decoder_but_those_of_png_and_jpeg_sees_a_file(tmp_path, monkeypatch):
    root, seen = as_folder(tmp_path / "a", parts()), []
    file = root / "train" / "ape" / "0.png"
    Image.new("RGB", (32, 32)).save(file, format="GIF")
    monkeypatch.setitem(Image.OPEN, "GIF", (lambda *args: seen.append(args), None))
    refused(root, str(file))
    assert not seen


GOOD = {"bytes": encode(np.zeros((3, 32, 32), np.uint8))}


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"image": [GOOD], "label": [0]}, "columns image.bytes, label"),
        ({"img": [GOOD]}, "columns img.bytes"),
        ({"img": [b""], "label": [0]}, "columns img, label"),
        ({"img": [GOOD, None], "label": [0, 0]}, "row 1 has no img.bytes"),
        ({"img": [{"bytes": "x"}], "label": [0]}, "row 0 has no img.bytes"),
        ({"img": [GOOD, GOOD], "label": [0, None]}, "row 1 has no label"),
        ({"img": [GOOD], "label": ["cat"]}, "row 0 has no label of kind int"),
    ],
)
def test_a_missing_column_or_value_is_named(columns, says, tmp_path):
    root = as_parquet(tmp_path / "a", parts())
    file = root / "train-00001-of-00002.parquet"
    parquet.write_table(pa.table(columns), file)
    refused(root, f"{file} ", says)


def test_labels_must_be_those_of_train(tmp_path):
    for name, label in (("more", 3), ("less", -1)):
        data = parts()
        data["test"][1][0] = label
        refused(as_parquet(tmp_path / name, data), "labels")
    root = as_folder(tmp_path / "folder", parts())
    (root / "test" / "dog").mkdir()
    refused(root, str(root / "test" / "dog"), "train")


@pytest.mark.parametrize("write", [as_parquet, as_folder, as_batches])
def test_a_missing_part_is_said(write, tmp_path):
    root = write(tmp_path / "a", parts())
    for path in sorted(root.rglob("test*")):
        path.rename(tmp_path / path.name)
    refused(root, "no test images", str(root))


def test_an_empty_folder_a_lone_file_and_a_wrong_name_are_refused(tmp_path):
    refused(tmp_path, "no train images")
    (tmp_path / "x.bin").write_bytes(b"some bytes")
    refused(tmp_path / "x.bin", "x.bin")
    refused("digit", "did you mean 'digits'")
    with pytest.raises(UsageError, match="no data at"):
        load("cifar10", tmp_path / "nowhere")


def test_no_data_says_what_to_set(tmp_path, monkeypatch):
    monkeypatch.delenv(loading.VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(UsageError, match=rf"set {loading.VARIABLE}.*--data PATH.*--download"):
        load("cifar10")


def test_a_set_of_other_sizes_is_not_cifar10(tmp_path):
    root = as_archive(tmp_path / "a", parts())
    with pytest.raises(UsageError, match="12 and 6 images"):
        load("cifar10", root)


class Code:
    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_code_in_a_pickle_is_refused_and_never_run(protocol, tmp_path):
    mark, root = tmp_path / "it-ran", as_batches(tmp_path / "a", parts())
    evil = {b"data": Code(Path.touch, mark), b"labels": Code(eval, f"open({str(mark)!r}, 'w')")}
    for file in ("data_batch_2", "test_batch"):
        whole = (root / file).read_bytes()
        content = pickle.dumps(evil, protocol)
        (root / file).write_bytes(content)
        refused(root, str(root / file), "nothing of it was run")
        assert not mark.exists()
        (root / file).write_bytes(whole)
    pickle.loads(pickle.dumps(Code(Path.touch, mark), protocol))
    assert mark.exists()  # so the code does run where it is let


def test_code_in_an_archive_is_refused_and_never_run(tmp_path):
    mark, root = tmp_path / "it-ran", as_batches(tmp_path / "a", parts())
    (root / "test_batch").write_bytes(pickle.dumps({b"data": Code(Path.touch, mark)}))
    with tarfile.open(tmp_path / "evil.tar.gz", "w:gz") as archive:
        archive.add(root, arcname="../outside")
    refused(tmp_path / "evil.tar.gz", "test_batch", "nothing of it was run")
    assert not mark.exists()
    assert not (tmp_path.parent / "outside").exists()


def test_numpy_in_a_pickle_gives_no_way_to_the_rest_of_numpy(tmp_path):
    root = as_batches(tmp_path / "a", parts())
    for name in ("ndarray.tofile", "load", "fromfile", "_reconstruct.__globals__"):
        code = b"\x80\x04\x8c\x05numpy\x8c" + bytes([len(name)]) + name.encode() + b"\x93."
        (root / "data_batch_1").write_bytes(code)
        refused(root, str(root / "data_batch_1"), f"numpy.{name}")


@pytest.mark.parametrize("dtype", ["O", ">u2", "i1"])
def test_pixels_of_another_dtype_are_refused(dtype, tmp_path):
    root = as_batches(tmp_path / "a", parts())
    (root / "data_batch_1").write_bytes(batch(np.zeros((2, 3072), dtype), np.arange(2)))
    refused(root, str(root / "data_batch_1"))


@pytest.mark.parametrize("write", [as_parquet, as_batches, as_archive])
def test_a_file_cut_off_or_changed_anywhere_is_refused_in_one_line_or_read(write, tmp_path):
    root = write(tmp_path / "a", parts(sizes=(3, 3)))
    rng = np.random.default_rng(0)
    for file in [path for path in sorted(root.rglob("*")) if path.suffix in (".parquet", ".gz") or "_batch" in path.name][:2]:
        whole = file.read_bytes()
        for at in rng.integers(0, len(whole), 40):
            file.write_bytes(whole[:at])
            assert str(file) in refused(root) or "no train images" in refused(root)
            file.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << int(rng.integers(8))]) + whole[at + 1 :])
            try:
                load(root)
            except UsageError as error:
                assert "\n" not in str(error)  # noqa: PT017 -- a flipped pixel is an image too
        file.write_bytes(whole)


def test_the_command_line_ends_with_status_2_and_one_line(tmp_path, monkeypatch, capsys):
    root = as_folder(tmp_path / "a", parts())
    (root / "train" / "bee" / "4.png").write_bytes(b"no image")
    monkeypatch.setattr(cli, "app", lambda *args, **options: load(root))
    assert cli._status([]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_variable_that_leads_nowhere_is_named(tmp_path, monkeypatch):
    for folder, says in ((tmp_path / "none", "there is no data at"), (tmp_path, "no train images")):
        monkeypatch.setenv(loading.VARIABLE, str(folder))
        with pytest.raises(UsageError, match=f"^SDEBENCH_CIFAR10: .*{says}"):
            load("cifar10")
