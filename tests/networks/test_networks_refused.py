"""What is damaged, hostile or of another kind is refused in one line, before anything of it runs."""

import json
import os
import pickle
from functools import partial

import pytest
import torch
from image_networks import CARD, CHAIN, SHAPE, folder, network
from safetensors.torch import load_file, save_file

import sdebench as sb
from sdebench.networks import safe, unet


def refused(match, spec, **options):
    with pytest.raises(sb.UsageError, match=match) as caught:
        sb.get_network(str(spec), **options)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 350 + len(str(spec))
    return message


class Hostile:
    """Unpickled, it makes a file: the proof that it ran."""

    def __init__(self, proof):
        self.proof = proof

    def __reduce__(self):
        return os.mkdir, (str(self.proof),)


def _unpickle(path, weights_only):
    return pickle.loads(path.read_bytes())


HOSTILE = {
    "zip": lambda path, it: torch.save({"weight": torch.ones(2), "it": it}, path),
    "legacy": lambda path, it: torch.save({"weight": torch.ones(2), "it": it}, path, _use_new_zipfile_serialization=False),
    "bare": lambda path, it: path.write_bytes(pickle.dumps(it)),
    "protocol 4": lambda path, it: path.write_bytes(pickle.dumps({"weight": it}, 4)),
}


@pytest.mark.parametrize("name", ["diffusion_pytorch_model.bin", unet.WEIGHTS])
@pytest.mark.parametrize("form", HOSTILE.values(), ids=HOSTILE)
def test_a_pickle_with_code_is_refused_and_the_code_does_not_run(tmp_path, form, name):
    """Under its own name, and under that of safetensors.  The same file DOES run where it is unpickled."""
    path, proof = folder(tmp_path / "model", chain=CHAIN), tmp_path / "it-ran"
    (path / unet.WEIGHTS).unlink()
    form(path / name, Hostile(proof))
    refused("could run code: give safetensors" if name.endswith(".bin") else "cannot read the weights", path)
    assert not proof.exists()
    (path / name).rename(path / "it.pt")  # torch.load goes by the suffix, too
    run = torch.load if form in (HOSTILE["zip"], HOSTILE["legacy"]) else _unpickle
    run(path / "it.pt", weights_only=False)
    assert proof.exists()


def test_a_flipped_byte_is_refused_wherever_it_is(tmp_path):
    """By the card's digest: every byte of the header, and some of the numbers; without a card, those that break the header."""
    path = unet.save(tmp_path / "model", network(), CARD)
    weights = path / unet.WEIGHTS
    whole = weights.read_bytes()
    for i in (*range(0, 200, 7), len(whole) // 2, len(whole) - 1):
        weights.write_bytes(whole[:i] + bytes([whole[i] ^ 1]) + whole[i + 1 :])
        refused("not what its card says", path)
    (path / "card.json").write_text(json.dumps(CARD))
    for i in range(8):
        weights.write_bytes(whole[:i] + bytes([whole[i] ^ 64]) + whole[i + 1 :])
        refused("cannot read the weights", path)
    weights.write_bytes(whole)
    assert sb.get_network(str(path)).name == "small"


@pytest.mark.parametrize("kept", [0, 4, 0.5, -1])
@pytest.mark.parametrize("name", ["diffusion_pytorch_model.bin", unet.WEIGHTS])
def test_a_truncated_file_is_refused(tmp_path, name, kept):
    path = folder(tmp_path / "model", chain=CHAIN)
    weights = load_file(path / unet.WEIGHTS)
    (path / unet.WEIGHTS).unlink()
    (torch.save if name.endswith(".bin") else save_file)(weights, path / name)
    whole = (path / name).read_bytes()
    (path / name).write_bytes(whole[: int(kept * len(whole)) if kept == 0.5 else kept])
    refused("damaged", path)


def _changed(change, path):
    """Write the weights anew, as `change` makes them of those that are there."""
    save_file(change(load_file(path / unet.WEIGHTS)), path / unet.WEIGHTS, {"format": "pt"})


def _json(name, change, path):
    (path / name).write_text(json.dumps(change(json.loads((path / name).read_text()))))


def _without(weights, name):
    return {key: value for key, value in weights.items() if key != name}


def _config(path, **values):
    _json("config.json", lambda old: old | values, path)


def _chain(path, **values):
    _json("scheduler_config.json", lambda old: old | values, path)


ODD = {
    "no weights": (lambda path: (path / unet.WEIGHTS).unlink(), "there are no weights"),
    "no config": (lambda path: (path / "config.json").unlink(), r"cannot read .*config.json \(No such file"),
    "config no JSON": (lambda path: (path / "config.json").write_text("{,}"), "cannot read .*config.json"),
    "config a list": (lambda path: (path / "config.json").write_text("[1]"), "cannot read .*config.json"),
    "config binary": (lambda path: (path / "config.json").write_bytes(b"\xff\xfe"), "cannot read .*config.json"),
    "another class": (partial(_config, _class_name="UNet2DConditionModel"), "is of a UNet2DConditionModel"),
    "classes": (partial(_config, num_class_embeds=10), "conditioned on classes"),
    "class embedding": (partial(_config, class_embed_type="timestep"), "conditioned on classes"),
    "fourier": (partial(_config, time_embedding_type="fourier"), "a time embedding 'fourier'"),
    "variance too": (partial(_config, out_channels=2), "1 channels in and 2 out"),
    "no such block": (partial(_config, down_block_types=["NoBlock", "NoBlock"]), "no UNet2DModel of these settings"),
    "no such setting": (partial(_config, colour="red"), "no UNet2DModel of these settings"),
    "nonsense": (partial(_config, block_out_channels=[8, "wide"]), "no UNet2DModel of these settings"),
    "no size": (partial(_config, sample_size=None), "the sample_size None"),
    "half a size": (partial(_config, sample_size=[8]), r"the sample_size \[8\]"),
    "a size of text": (partial(_config, sample_size="8"), "the sample_size '8'"),
    "no pixels": (partial(_config, sample_size=0), "the sample_size 0"),
    "a shift of text": (partial(_config, freq_shift="a"), "the freq_shift 'a'"),
    "another width": (partial(_config, block_out_channels=[16, 16]), "conv_in.weight.* as .*, its network as"),
    "a tensor less": (partial(_changed, lambda w: _without(w, "conv_in.bias")), "lacks the tensor 'conv_in.bias'"),
    "a tensor more": (partial(_changed, lambda w: w | {"more": torch.ones(1)}), "has, beyond .* the tensor 'more'"),
    "another shape": (partial(_changed, lambda w: w | {"conv_in.bias": torch.ones(3)}), r"'conv_in.bias' as \(3,\) of float32"),
    "integers": (partial(_changed, lambda w: w | {"conv_in.bias": torch.ones(8, dtype=torch.int8)}), r"as \(8,\) of int8"),
    "no scheduler": (lambda path: (path / "scheduler_config.json").unlink(), "says nothing of its noise"),
    "no betas": (partial(_json, "scheduler_config.json", lambda old: {"_class_name": "OwnScheduler"}), "without betas"),
    "zero SNR": (partial(_chain, rescale_betas_zero_snr=True), "zero terminal SNR"),
    "unknown betas": (partial(_chain, beta_schedule="warm"), "the beta_schedule 'warm'"),
    "betas of text": (partial(_chain, beta_start="low"), "cannot read .*scheduler_config.json"),
    "negative betas": (partial(_chain, beta_start=-1), "give 0 < beta < 1"),
    "no steps": (partial(_chain, num_train_timesteps=0), "give at least two"),
    "flow sigmas": (partial(_chain, use_flow_sigmas=True), "in continuous time, no chain"),
    "another's betas": (partial(_chain, _class_name="EDMEulerScheduler"), "of EDMEulerScheduler in continuous time, no chain"),
    "unknown kind": (partial(_chain, prediction_type="flow"), "kind of prediction 'flow'"),
}


@pytest.mark.parametrize(("harm", "match"), ODD.values(), ids=ODD)
def test_a_folder_that_is_not_a_network_to_sample_is_refused(tmp_path, harm, match):
    path = folder(tmp_path / "model", chain=CHAIN)
    assert sb.get_network(str(path)).shape == SHAPE
    harm(path)
    refused(match, path)


CARDS = {
    "no schedule": ({"schedule": "VPCosign"}, "unknown schedule 'VPCosign'; did you mean 'VPCosine'"),
    "no parameter": ({"schedule": "VPCosine(t=1)"}, "cannot read the schedule"),
    "half a schedule": ({"schedule": "VPCosine(s)"}, "cannot read the schedule"),
    "an odd schedule": ({"schedule": 3}, "unknown schedule 3"),
    "no kind": ({"kind": None}, "kind of prediction None"),
    "no time": ({"time": 1000}, "cannot read .*card.json"),
    "no scale": ({"time": {"kind": "continuous", "scale": 0}}, "the time scale 0"),
    "a velocity": ({"kind": "velocity"}, "a velocity on VPCosine"),
    "a scale of text": ({"time": {"kind": "continuous", "scale": "much"}}, "cannot read .*card.json"),
    "a chain on a schedule": ({"time": {"kind": "discrete", "steps": 1000}}, "a time of kind 'discrete'"),
    "no lams": ({"lams": None}, "the interval of lam is None"),
    "lams turned round": ({"lams": [4, -4]}, "give the noisy end first"),
    "lams too far": ({"lams": [-50, 4]}, "not reached by VPCosine"),
}


@pytest.mark.parametrize(("change", "match"), CARDS.values(), ids=CARDS)
def test_a_card_that_cannot_be_meant_is_refused(tmp_path, change, match):
    refused(match, folder(tmp_path / "model", card=CARD | change))


def test_a_card_against_its_scheduler_is_refused(tmp_path):
    card = {"kind": "v", "time": {"kind": "discrete", "steps": 1000}}
    refused("card.json says v and 1000 steps, .* eps and 1000", folder(tmp_path / "kind", card=card, chain=CHAIN))
    card = {"time": {"kind": "discrete", "steps": 500}}
    refused("card.json says eps and 500 steps", folder(tmp_path / "steps", card=card, chain=CHAIN))


def test_specs_dtypes_and_devices_that_are_not_there(tmp_path):
    path = folder(tmp_path / "model", chain=CHAIN)
    refused("unknown network 'no-such'", "no-such")
    for nothing in (5, "", " "):
        with pytest.raises(sb.UsageError, match=f"{nothing!r} is no network: give a name"):
            sb.get_network(nothing)
    for place in ("./none", "../none", "/none", "a/b/none", "none/"):
        refused(f"there is no folder '{place}': give one in the layout of diffusers, or owner/name of the hub", place)
    refused("cannot load network 'no_such_module:make'", "no_such_module:make")
    refused("cannot load network 'sdebench:no_such'", "sdebench:no_such")
    refused("lacks kind, schedule, shape, lams", "builtins:dict")
    refused("cannot call json:loads without arguments", "json:loads")
    refused("unknown dtype 'float63'; did you mean", path, dtype="float63")
    refused("unknown dtype 'complex64'", path, dtype="complex64")  # torch has it
    assert sb.get_network(str(path), dtype="float16").dtype == torch.float16
    assert len(refused("no device 'nowhere' here: give cpu", path, device="nowhere")) < 60
    refused("no device 'meta' here", path, device="meta")
    if not torch.cuda.is_available():
        refused("no device 'cuda' here: give (cpu|cpu or mps)$", path, device="cuda")
    for n, first in ((0, 0), (1, -1)):
        with pytest.raises(sb.UsageError, match="give n >= 1"):
            sb.get_network(str(path)).initial(n, 0, first)


def test_weights_that_are_no_dictionary_are_refused(tmp_path):
    torch.save([torch.ones(2)], tmp_path / "list.pt")
    torch.jit.script(torch.nn.Linear(2, 2)).save(tmp_path / "script.pt")
    with pytest.raises(sb.UsageError, match="no dictionary of tensors"):
        safe.load_weights(tmp_path / "list.pt")
    with pytest.raises(sb.UsageError, match="damaged or no state dict") as caught:
        safe.load_weights(tmp_path / "script.pt")
    assert "weights_only" not in str(caught.value)  # nobody is told to load it without the restriction


def test_old_pytorch_cannot_read_pickles_safely(tmp_path, monkeypatch):
    """CVE-2025-32434: before 2.6 a file could run code in spite of weights_only."""
    torch.save({"a": torch.ones(2)}, tmp_path / "a.pt")
    assert set(safe.load_weights(tmp_path / "a.pt")) == {"a"}
    monkeypatch.setattr(torch, "__version__", "2.5.1+cpu")
    with pytest.raises(sb.UsageError, match=r"PyTorch 2.5.1\+cpu cannot read one safely"):
        safe.load_weights(tmp_path / "a.pt")
