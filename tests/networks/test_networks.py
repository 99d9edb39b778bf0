"""Networks from folders: what is loaded is what was saved, in any dtype, and runs as diffusers runs it."""

import json
import pickle
import subprocess
import sys

import pytest
import torch
from image_networks import CARD, CHAIN, CONFIG, LAW, SHAPE, folder, network
from safetensors.torch import load_file, save_file

import sdebench as sb
from sdebench import grids
from sdebench.integration.prediction import Counted
from sdebench.networks import Discrete, NetworkModel, Scaled, features, loading, safe, unet
from sdebench.networks.parametrisation import _betas, schedule_of
from sdebench.schedules import EDM, VE, Rectified, VPCosine, VPLinear

X = torch.randn(5, *SHAPE, generator=torch.Generator().manual_seed(2))


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    return unet.save(tmp_path_factory.mktemp("saved") / "model", network(), CARD)


def test_neither_the_suite_nor_its_networks_import_diffusers():
    """Its import takes seconds: only a network that is asked for pays them."""
    code = "import sdebench, sdebench.networks as n, sys; sdebench.get_network; sys.exit('diffusers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    code = "import sdebench, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_what_is_saved_is_float16_with_a_card_and_the_digest_of_its_weights(saved):
    card, weights = json.loads((saved / "card.json").read_text()), saved / unet.WEIGHTS
    assert card == CARD | {"sha256": safe.sha256(weights)}
    assert all(value.dtype == torch.float16 for value in load_file(weights).values())
    problem = sb.get_network(str(saved))
    assert (problem.name, problem.kind, problem.shape, problem.dim) == ("small", "v", SHAPE, 16)
    assert problem.schedule == sb.schedules.VPCosine(0.008)
    assert [problem.schedule.lam(t) for t in problem.span] == pytest.approx([-4, 4], abs=1e-12)
    assert problem.sha256 == card["sha256"]
    assert not problem.has_solution
    assert problem.card == card


def test_diffusers_itself_gives_the_same_bits(saved):
    """from_pretrained in float32, told 1000 t; and the folder is one of theirs."""
    from diffusers import UNet2DModel

    theirs = UNet2DModel.from_pretrained(saved, torch_dtype=torch.float32).eval()
    for t in (0.9, 0.4321, 0.01):
        with torch.no_grad():
            want = theirs(X, torch.tensor(1000 * t)).sample
        assert torch.equal(sb.get_network(str(saved)).model(X, t).value, want)


@pytest.mark.parametrize(("flip", "shift", "width"), [(True, 0, 8), (False, 1, 8), (True, 1, 9)])
def test_the_sinusoids_are_those_of_diffusers(flip, shift, width):
    from diffusers.models.embeddings import Timesteps

    times = torch.tensor([0.0, 0.37, 12.5, 999.0])
    ours, theirs = unet.Sinusoids(width, flip, shift), Timesteps(width, flip, shift)
    assert torch.equal(ours(times), theirs(times))
    assert (ours(times.double()) - theirs(times)).abs().max() < 1e-4
    assert ours(times.double()).dtype == torch.float64


def test_a_float64_network_is_smooth_in_time(saved):
    """Steps of 1e-9 in t move its value in proportion, to 1e-4: in float32, 1000 t would not move at all between t = 0.5 and
    0.5 + 3e-8, and then jump."""
    model = sb.get_network(str(saved), "float64").model
    values = [model(X.double(), 0.5 + k * 1e-9).value for k in range(4)]
    one, two = (values[1] - values[0]).norm(), (values[3] - values[2]).norm()
    assert float(one) > 0
    assert float(two / one) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("state", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize(("dtype", "near"), [("float32", 1e-5), ("float64", 1e-5), ("bfloat16", 0.1)])
def test_a_prediction_comes_in_the_states_dtype(saved, dtype, near, state):
    exact = sb.get_network(str(saved), "float64").model(X.double(), 0.5).value
    net = sb.get_network(str(saved), dtype)
    told = net.model(X.to(state), 0.5)
    assert told.value.dtype == state
    assert not told.value.requires_grad
    assert next(net.model.net.parameters()).dtype == net.dtype == getattr(torch, dtype)
    rounded = near if state != torch.bfloat16 else 0.1
    assert (told.value.double() - exact).norm() <= rounded * exact.norm()


def tf32():
    """Whether convolutions may use it."""
    cudnn = torch.backends.cudnn
    return cudnn.conv.fp32_precision == "tf32" if hasattr(cudnn, "conv") else cudnn.allow_tf32


def test_float32_is_not_tf32_in_a_network_and_in_features():
    """On a GPU it is, unless PyTorch is told otherwise; and what others told it is so again, whatever happens."""
    seen, before = [], tf32()

    def net(x, t):
        seen.append(tf32())
        return x if t < 1 else None

    model = NetworkModel(net, sb.schedules.EDM(), "eps")
    model(X, 0.5)
    with pytest.raises(sb.UsageError):
        model(X, 1.0)
    space = features.get_features("digits")
    space._net.stem.register_forward_pre_hook(lambda *_: seen.append(tf32()))
    space(torch.zeros(1, 1, 8, 8, dtype=torch.uint8))
    assert seen == [False] * 3
    assert tf32() == before


def test_another_dtype_is_cast_from_the_weights_as_loaded(saved):
    """float64 by way of bfloat16 has lost nothing."""
    problem = sb.get_network(str(saved))
    there = problem.with_(dtype="bfloat16").with_(dtype=torch.float64)
    assert torch.equal(there.model(X, 0.5).value, problem.with_("float64").model(X, 0.5).value)
    assert next(problem.net.parameters()).dtype == torch.float32


def test_sample_17_is_sample_17(saved):
    """At every batch size to the bit; in float32 the rounding of float64's, so that runs in two dtypes are paired."""
    problem = sb.get_network(str(saved))
    all_at_once = problem.initial(20, seed=1)
    assert torch.equal(problem.initial(3, seed=1, first=17), all_at_once[17:])
    assert torch.equal(problem.with_("float64").initial(20, seed=1).float(), all_at_once)
    assert torch.equal(problem.with_("bfloat16").initial(20, seed=1), all_at_once)
    assert not torch.equal(problem.initial(20, seed=2), all_at_once)
    many = problem.initial(4000, seed=5)
    assert float(many.std()) == pytest.approx(problem.schedule.sigma(problem.span[0]), rel=0.02)
    assert abs(float(many.mean())) < 0.02


def test_a_batch_is_its_samples_and_calls_are_counted(saved):
    problem = sb.get_network(str(saved))
    counted, x = Counted(problem.model), problem.initial(4, seed=0)
    grid = grids.uniform_lam(problem.schedule, *problem.span, 6)
    whole = sb.integrate(sb.get_solver("dpm-solver-2"), counted, x, grid)
    assert counted.nfe == 12
    alone = sb.integrate(sb.get_solver("dpm-solver-2"), problem.model, x[2:3], grid)
    assert torch.allclose(whole[2:3], alone, atol=1e-4)


def test_a_chain_has_its_whole_domain_unless_the_card_says_less(tmp_path):
    """The layout of google/ddpm-cifar10-32: scheduler_config.json at the root, no card, no prediction_type."""
    problem = sb.get_network(str(folder(tmp_path / "root", chain=CHAIN)))
    assert (problem.name, problem.kind, problem.span) == ("root", "eps", (1.0, 0.001))
    assert isinstance(problem.schedule, Discrete)
    assert problem.schedule.betas == pytest.approx(torch.linspace(0.0001, 0.02, 1000, dtype=torch.float64).tolist(), rel=1e-14)
    assert problem.time(0.001) == 0.0
    less = {"name": "less", "time": {"kind": "discrete", "steps": 1000}, "kind": "eps", "lams": [-4, 3]}
    problem = sb.get_network(str(folder(tmp_path / "less", card=less, chain=CHAIN)))
    assert [problem.schedule.lam(t) for t in problem.span] == pytest.approx([-4, 3], abs=1e-9)


def test_the_layout_with_subfolders(tmp_path):
    path = folder(tmp_path / "sub", chain=CHAIN | {"prediction_type": "v_prediction"}, unet_in="unet", scheduler_in="scheduler")
    assert sb.get_network(str(path)).kind == "v"


def test_pickled_tensors_and_the_names_of_old_attention_are_read(tmp_path):
    """google/ddpm-cifar10-32 calls to_q, to_k, to_v, to_out.0 by their names of 2022."""
    new, old = folder(tmp_path / "new", chain=CHAIN), folder(tmp_path / "old", chain=CHAIN)
    weights = load_file(old / unet.WEIGHTS)
    for now, then in (("to_q", "query"), ("to_k", "key"), ("to_v", "value"), ("to_out.0", "proj_attn")):
        weights = {name.replace(f".{now}.", f".{then}."): value for name, value in weights.items()}
    assert any(".proj_attn." in name for name in weights)
    (old / unet.WEIGHTS).unlink()
    torch.save(weights, old / "diffusion_pytorch_model.bin")
    ours, theirs = (sb.get_network(str(path)).model(X, 0.5).value for path in (old, new))
    assert torch.equal(ours, theirs)


def test_a_folder_is_loaded_once_and_again_when_it_changes(tmp_path):
    path = unet.save(tmp_path / "model", network(), CARD)
    first = sb.get_network(str(path))
    assert sb.get_network(str(path)) is first
    changed = network()
    changed.conv_out.bias.data.add_(1)
    unet.save(path, changed, CARD | {"lams": [-3, 3]})
    second = sb.get_network(str(path))
    assert second.sha256 != first.sha256
    assert second.schedule.lam(second.span[1]) == pytest.approx(3)


def test_a_folder_is_replaced_whole_or_not_at_all(tmp_path, monkeypatch):
    path = unet.save(tmp_path / "model", network(), CARD)
    before = safe.sha256(path / unet.WEIGHTS)

    def fails(*_):
        raise OSError("no room")

    changed = network()
    changed.conv_out.bias.data.add_(1)
    with monkeypatch.context() as patch:
        patch.setattr("safetensors.torch.save_file", fails)
        with pytest.raises(OSError, match="no room"):
            unet.save(path, changed, CARD)
    assert safe.sha256(path / unet.WEIGHTS) == before
    unet.save(path, changed, CARD)
    assert safe.sha256(path / unet.WEIGHTS) != before
    assert [found.name for found in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_network_that_was_loaded_in_inference_mode_has_gradients_outside_of_it(dtype, tmp_path):
    path = folder(tmp_path / "made", CARD)
    with torch.inference_mode():
        model = sb.get_network(str(path), dtype).model
    x = X.to(model.dtype, copy=True).requires_grad_()
    model(x, 0.5).value.sum().backward()
    assert x.grad.abs().max() > 0


def test_shipped_networks_go_by_name(tmp_path, monkeypatch):
    unet.save(tmp_path / "small", network(), CARD)
    (tmp_path / "features-small").mkdir()  # a classifier: not a network to sample
    monkeypatch.setattr(loading, "SHIPPED", tmp_path)
    assert sb.networks.shipped_names() == ("small",)
    assert sb.get_network("small").kind == "v"
    with pytest.raises(sb.UsageError, match=r"unknown network 'smal'; did you mean 'small'\?"):
        sb.get_network("smal")


@pytest.mark.parametrize("name", sb.networks.shipped_names())
def test_what_is_shipped_is_whole_and_small(name):
    """Its digest is that of its card, and its size that of a package."""
    problem = sb.get_network(name)
    assert problem.card["sha256"] == problem.sha256
    assert (loading.SHIPPED / name / unet.WEIGHTS).stat().st_size <= (3 << 20 if name == "digits" else 16 << 20)


def test_the_hub_is_asked_only_where_the_user_says_so(tmp_path, monkeypatch):
    """From the local cache; without it one line; with download=True the hub is asked."""
    import huggingface_hub
    from huggingface_hub.errors import LocalEntryNotFoundError

    asked = []

    def snapshot(name, local_files_only, allow_patterns):
        asked.append((name, local_files_only, allow_patterns))
        if local_files_only and name == "some/model":
            raise LocalEntryNotFoundError("not there")
        return str(folder(tmp_path / "snapshot", chain=CHAIN))

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    with pytest.raises(sb.UsageError, match="give --download to load it"):
        sb.get_network("some/model")
    assert sb.get_network("other/model").name == "other/model"
    assert sb.get_network("some/model", download=True).name == "some/model"
    assert [local for _, local, _ in asked] == [True, True, False]
    assert all("*.bin" not in patterns for _, _, patterns in asked)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid"])
def test_the_betas_are_those_of_diffusers(name, tmp_path):
    from diffusers import DDPMScheduler

    scheduler = DDPMScheduler(400, beta_start=0.0002, beta_end=0.03, beta_schedule=name)
    ours = torch.tensor(_betas(dict(scheduler.config), tmp_path))
    torch.testing.assert_close(ours, scheduler.betas, rtol=2e-4, atol=1e-8)  # theirs are of float32
    assert _betas(dict(scheduler.config) | {"trained_betas": [0.1, 0.2]}, tmp_path) == [0.1, 0.2]


@pytest.mark.parametrize("ns", [VPLinear(0.2, 15), VPCosine(), VE(), EDM(), Rectified()], ids=str)
def test_a_schedule_is_read_from_its_name(ns):
    assert schedule_of(str(ns)) == ns
    assert schedule_of(type(ns).__name__) == type(ns)()


def test_a_problem_goes_to_another_process(saved):
    problem = sb.get_network(str(saved))
    there = pickle.loads(pickle.dumps(problem))
    assert torch.equal(there.model(X, 0.3).value, problem.model(X, 0.3).value)


def test_a_declared_module_is_cast_and_its_weights_are_in_its_digest(tmp_path, monkeypatch):
    lines = [
        "import torch, sdebench as sb",
        "from sdebench.networks import Declared",
        "class Net(torch.nn.Module):",
        "    def __init__(self, scale):",
        "        super().__init__()",
        "        self.scale = torch.nn.Parameter(torch.tensor(scale))",
        "    def forward(self, x, t):",
        "        assert x.dtype == self.scale.dtype",
        "        return self.scale * x",
        "def make(scale):",
        "    return Declared(Net(scale), 'eps', sb.schedules.VPLinear(), (1, 2, 2), (-2, 2))",
        "a = lambda: make(0.5)",
        "b = lambda: make(0.25)",
    ]
    (tmp_path / "declared_module.py").write_text("\n".join(lines))
    monkeypatch.syspath_prepend(tmp_path)
    a, b = (sb.get_network(f"declared_module:{name}", "float64") for name in "ab")
    assert a.sha256 != b.sha256
    x = torch.ones(1, 1, 2, 2)
    assert torch.equal(a.model(x, 0.5).value, 0.5 * x)
    assert a.model(x, 0.5).value.dtype == torch.float32


def test_a_network_model_refuses_what_it_cannot_read():
    ns = sb.schedules.EDM()
    with pytest.raises(sb.UsageError, match="unknown kind of prediction 'noise'"):
        NetworkModel(lambda x, t: x, ns, "noise")
    with pytest.raises(sb.UsageError, match=r"the network gave a tensor \(5, 2, 4, 4\) for a state \(5, 1, 4, 4\)"):
        NetworkModel(lambda x, t: torch.cat([x, x], 1), ns, "eps", Scaled())(X, 1.0)
    with pytest.raises(sb.UsageError, match=r"the network gave 'noise' for a state .*: return a tensor"):
        NetworkModel(lambda x, t: "noise", ns, "eps", Scaled())(X, 1.0)


def test_one_network_of_weights_that_are_zero_is_a_gaussian(tmp_path):
    """eps = 0 everywhere is a point of data at x/alpha: DDIM then scales, exactly; a v of 0 turns."""
    path = folder(tmp_path / "zero", chain=CHAIN)
    weights = {name: torch.zeros_like(value) for name, value in load_file(path / unet.WEIGHTS).items()}
    save_file(weights, path / unet.WEIGHTS, {"format": "pt"})
    problem = sb.get_network(str(path), "float64")
    ns, x = problem.schedule, problem.initial(2, seed=0)
    end = sb.integrate(sb.get_solver("ddim"), problem.model, x, grids.uniform_t(ns, *problem.span, 7))
    torch.testing.assert_close(end, x * (ns.alpha(0.001) / ns.alpha(1.0)), rtol=1e-12, atol=0)


def test_the_config_of_the_tests_is_one(saved):
    assert unet.shape(network()) == SHAPE
    assert unet.shape(network(sample_size=[4, 8])) == (1, 4, 8)
    assert LAW.dim == 16 == SHAPE[1] * SHAPE[2]
    assert set(CONFIG) <= set(json.loads((saved / "config.json").read_text()))
