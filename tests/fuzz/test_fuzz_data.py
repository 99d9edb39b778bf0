"""Networks' folders and images, spoilt in every way."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from containers import as_parquet, batch, encode, parts
from fuzzing import examples, junk, refuse, spoilt, text_of, texts, torn, workplace
from hypothesis import given
from hypothesis import strategies as st
from image_networks import CARD, CHAIN, CONFIG, folder
from safetensors.numpy import save

import sdebench as sb
from sdebench import data as images
from sdebench.networks.classifier import make
from sdebench.networks.features import get_features


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """The weights of a small network."""
    return (folder(tmp_path_factory.mktemp("net") / "net", card=CARD) / "diffusion_pytorch_model.safetensors").read_bytes()


@given(data=st.data(), which=st.sampled_from(["config", "card", "chain", "weights"]))
@examples(200)
def test_networks(data, which, weights):
    with workplace():
        card = CARD | {"data": {"name": "digits"}, "shape": [1, 4, 4], "teacher": {"name": "x", "sha256": "0" * 64}}
        parts = {"config": CONFIG | {"_class_name": "UNet2DModel"}, "card": card, "chain": CHAIN}
        if which != "weights":
            parts[which] = data.draw(spoilt(parts[which]))
        if which == "chain":
            del parts["card"]
        elif which != "chain":
            del parts["chain"]
        names = {"config": "config.json", "card": "card.json", "chain": "scheduler_config.json"}
        Path("net").mkdir()
        for name, value in parts.items():
            content = text_of(value)
            Path("net", names[name]).write_bytes(
                data.draw(torn(content)) if name == which and data.draw(st.booleans()) else content
            )
        content = data.draw(torn(weights)) if which == "weights" else weights
        Path(
            "net", data.draw(st.sampled_from(["diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin"]))
        ).write_bytes(content)
        refuse(lambda: sb.get_network("net"))


@given(data=st.data())
@examples(60)
def test_shards(data):
    with workplace():
        Path("net").mkdir()
        Path("net/config.json").write_bytes(text_of(CONFIG))
        Path("net/card.json").write_bytes(text_of(CARD))
        index = {"metadata": {}, "weight_map": {"conv_in.weight": "diffusion_pytorch_model-00001-of-00001.safetensors"}}
        Path("net/diffusion_pytorch_model.safetensors.index.json").write_bytes(text_of(data.draw(spoilt(index))))
        Path("net/diffusion_pytorch_model-00001-of-00001.safetensors").write_bytes(
            save({"conv_in.weight": np.zeros(3, np.float32)})
        )
        assert isinstance(refuse(lambda: sb.get_network("net")), sb.UsageError)


@given(data=st.data())
@examples(60)
def test_classifiers(data):
    shipped = Path(sb.networks.loading.SHIPPED, "features-digits")
    with workplace():
        Path("net").mkdir()
        card = json.loads((shipped / "card.json").read_text())
        Path("net/card.json").write_bytes(text_of(data.draw(spoilt(card))))
        for name in ("model.safetensors", "reference.safetensors"):
            content = (shipped / name).read_bytes()
            Path("net", name).write_bytes(data.draw(torn(content)) if data.draw(st.integers(0, 3)) == 0 else content)
        space = refuse(lambda: get_features("net"))
        if not isinstance(space, sb.UsageError):
            refuse(lambda: space.reference("train"))


@st.composite
def batches(draw):
    """A batch saved again, in ways that people save one, or with junk in it."""
    pixels = np.zeros(
        (4, *draw(st.sampled_from([(3072,), (3, 32, 32), (32, 32, 3), (32, 32), (3071,), ()]))),
        draw(st.sampled_from(["u1", "i8", "f4"])),
    )
    labels = draw(
        st.sampled_from(
            [[0, 1, 0, 1], np.array([0, 1, 0, 1]), np.array([0, 1, 0, 1], ">i4"), [0.5] * 4, [np.int64(1)] * 4, [0]]
        )
    )
    content = {
        draw(st.sampled_from(["data", b"data", "pixels"])): pixels,
        draw(st.sampled_from(["labels", b"labels", "fine_labels"])): labels,
    }
    content = draw(st.one_of(st.just(content), junk, spoilt({"data": [0] * 3, "labels": [0]})))
    return pickle.dumps(content, draw(st.sampled_from([0, 2, 4, 5])))


@given(data=st.data())
@examples(150)
def test_batches(data):
    whole = batch(*parts(sizes=(4, 4))["train"])
    with workplace():
        Path("set").mkdir()
        for name in ("data_batch_1", "test_batch"):
            content = data.draw(batches()) if data.draw(st.booleans()) else data.draw(torn(whole))
            Path("set", name).write_bytes(content)
        refuse(lambda: images.load("set"))


@given(data=st.data(), kind=st.sampled_from(["PNG", "JPEG"]))
@examples(100)
def test_pictures(data, kind):
    pixels = parts(sizes=(4, 4))["train"][0]
    with workplace():
        for part in ("train", "test"):
            for label in ("a", "b"):
                Path("set", part, label).mkdir(parents=True)
                Path("set", part, label, "0.png").write_bytes(encode(pixels[0], format=kind))
        Path("set/train", data.draw(st.sampled_from("ab")), "1.png").write_bytes(
            data.draw(torn(encode(pixels[1], format=kind)))
        )
        refuse(lambda: images.load("set"))


@given(data=st.data())
@examples(60)
def test_parquet_and_archives(data):
    with workplace() as place:
        root = as_parquet(place / "set", parts(sizes=(4, 4)))
        file = next(iter(sorted(root.iterdir())))
        file.write_bytes(data.draw(torn(file.read_bytes())))
        refuse(lambda: images.load("set"))
        Path("x.tar.gz").write_bytes(data.draw(torn(b"\x1f\x8b\x08" + bytes(40))))
        Path("x.zip").write_bytes(data.draw(torn(b"PK\x03\x04" + bytes(60))))
        for name in ("x.tar.gz", "x.zip", data.draw(texts)):
            refuse(lambda name=name: images.load(name))


@pytest.mark.parametrize(("shape", "network"), [([1, 8], {"channels": [8], "features": 4}), ([1, 8, 8], None), ([1, 8, 8], [])])
def test_a_classifier_of_a_card_that_makes_no_sense_is_refused(shape, network):
    """The long profile found it, by the card of a classifier."""
    assert isinstance(refuse(lambda: make(shape, 10, network)), sb.UsageError)
