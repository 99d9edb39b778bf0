"""Students: what they are taught is what the suite's own DDIM and exact flows say, and a ladder of them resumes to the bit."""

from itertools import pairwise
from math import log2
from types import SimpleNamespace

import pytest
import torch
from image_networks import CARD, SHAPE, Cosine, folder
from test_training import DENOISER, same, weights

import sdebench as sb
from sdebench import grids
from sdebench.data import Images
from sdebench.integration.prediction import Model, conversion
from sdebench.networks import NetworkModel, Scaled
from sdebench.problems import GaussianMixture, exact_model
from sdebench.training import loop, recipe
from sdebench.training.consistency import ConsistencyTraining
from sdebench.training.progressive import Halving, target
from sdebench.training.state import State
from sdebench.training.student import BatchLevel, levels, missed

LADDER = {
    "name": "ladder",
    "task": "progressive",
    "data": "digits",
    "teacher": "digits",
    "halvings": [2, 1],
    "batch": 8,
    "steps": 6,
    "rate": 1e-3,
    "warmup": 1,
    "cooldown": 4,
    "ema": 0.9,
    "flips": False,
}
PATHS = LADDER | {"name": "paths", "task": "consistency", "halvings": [], "intervals": 4}
NS = sb.schedules.VPCosine()
LINE = GaussianMixture([0.4, 0.6], [[-0.8], [0.5]], [0.05, 0.1])
X0, EPS = torch.randn(2, 64, *SHAPE, generator=torch.Generator().manual_seed(3))


def images(shape=SHAPE) -> Images:
    pixels = torch.arange(20 * shape[0] * shape[1] * shape[2]).reshape(20, *shape).remainder(251).to(torch.uint8)
    return Images("stub", pixels, torch.zeros(20).long(), pixels[:8], torch.zeros(8).long(), "0" * 64)


def asked(fn):
    """A network of times (B,), of a function of one time t."""
    return lambda x, times: SimpleNamespace(sample=fn(x, float(times[0]) / 1000))


@pytest.fixture
def spec(tmp_path) -> str:
    return str(folder(tmp_path / "teacher", CARD))


@pytest.fixture
def halving(spec) -> Halving:
    """Three steps for six of a teacher that knows its law exactly."""
    task = Halving(recipe.from_plain(LADDER | {"teacher": spec}), images(), "cpu", "", 3)
    task.teaches = lambda x, times: SimpleNamespace(sample=Cosine()(x, times))
    return task


def two_steps(z, s, m, t):
    """Where the suite's DDIM takes z in two steps on the exact model, and the x_0 of the one step that ends there."""
    exact = NetworkModel(Cosine(), NS, "v", Scaled(1000.0), torch.float64)
    end = sb.integrate(sb.get_solver("ddim"), exact, z.double(), (s, m, t))
    ratio = NS.sigma(t) / NS.sigma(s)
    return end, (end - ratio * z) / (NS.alpha(t) - ratio * NS.alpha(s))


def lessons(task):
    """(column, times) of every lesson."""
    for i in range(task.table.shape[1]):
        yield task.table[:, [i]].expand(-1, len(X0)), task.table[::3, i].tolist()


def test_one_step_with_the_target_ends_where_the_teachers_two_end(halving):
    """To 1e-4, the rounding of float32 over the cancellation in the last step."""
    grid = grids.uniform_t(NS, *halving.teacher.span, 6)
    assert [times for _, times in lessons(halving)] == [pytest.approx(grid[i : i + 3], rel=1e-6) for i in (0, 2, 4)]
    for level, (s, m, t) in lessons(halving):
        z = NS.alpha(s) * X0 + NS.sigma(s) * EPS
        end, _ = two_steps(z, s, m, t)
        first, _, last = levels(level)
        known = Model(lambda x, t, first=first, last=last, end=end: target(x, end.float(), first, last), NS, "x0")
        assert torch.allclose(sb.integrate(sb.get_solver("ddim"), known, z, (s, t)), end.float(), atol=1e-4)


def test_the_loss_is_zero_for_the_exact_student_and_weighs_an_error_of_x0_by_the_truncated_snr(halving):
    for level, (s, m, t) in lessons(halving):

        def student(x, time, off=0.0, s=s, m=m, t=t):
            assert time == pytest.approx(s, rel=1e-6)
            x0 = two_steps(x, s, m, t)[1] + off
            return ((NS.alpha(s) * x - x0) / NS.sigma(s)).float()

        weight = max((NS.alpha(s) / NS.sigma(s)) ** 2, 1.0)
        assert halving._errors(asked(student), X0, EPS, level).max() < 1e-7 * weight
        missed = halving._errors(asked(lambda x, time, student=student: student(x, time, 0.25)), X0, EPS, level)
        assert torch.allclose(missed, torch.full((len(X0),), 0.0625 * weight), rtol=1e-2)
        assert halving._errors(halving.teaches, X0, EPS, level).mean() > 1e-4  # the teacher's own x_0 is another one


def consistency(spec, intervals=4, shape=SHAPE) -> ConsistencyTraining:
    return ConsistencyTraining(recipe.from_plain(PATHS | {"teacher": spec, "intervals": intervals}), images(shape))


def test_without_noise_a_consistency_model_says_the_state_itself(spec):
    task, one = consistency(spec), torch.ones(len(X0), 1, 1, 1)
    net = task.network()
    assert torch.equal(task._x0(net, X0, BatchLevel(0.2 * one, one, 0 * one)), X0)
    c, d = conversion("v", "x0", 0.5, 2.0)  # and with any signal and noise, what a solver reads
    value = net(X0, torch.full((len(X0),), 200.0)).sample
    assert torch.allclose(task._x0(net, X0, BatchLevel(0.2 * one, 0.5 * one, 2 * one)), c * X0 + d * value, atol=1e-6)


def test_the_last_lesson_of_a_consistency_model_ends_without_noise(spec):
    """There the target is what the teacher said, whatever the network says, so that the step to the clean end is taught too."""
    task = consistency(spec)
    assert task.table[3:, -1].tolist() == [0, 1, 0]
    assert task.table[3, :-1].tolist() == task.table[0, 1:].tolist()
    task.teaches = asked(exact_v)
    level = task.table[:, [-1]].expand(-1, len(X0))
    found = task._errors(asked(lambda x, t: exact_v(x, t) if t > 0 else 1e3 * x), X0, EPS, level)
    assert found.max() < 1e-8


def test_both_ends_of_an_interval_are_said_under_the_same_dropout(spec):
    """With neither signal nor noise between the two times, the same network says the same at both."""
    task, net = consistency(spec), torch.nn.Dropout(0.5)
    level, masks = task.table[:, [1]].expand(-1, len(X0)), []

    def said(x, times):
        masks.append(net(torch.ones_like(x)))
        return SimpleNamespace(sample=masks[-1] * x)

    torch.manual_seed(0)
    task._errors(said, X0, EPS, level)
    assert torch.equal(*masks)
    assert 0 < (masks[0] == 0).float().mean() < 1
    task._errors(said, X0, EPS, level)
    assert not torch.equal(masks[0], masks[2])


def full() -> bool:
    cudnn = torch.backends.cudnn
    return cudnn.conv.fp32_precision == "ieee" if hasattr(cudnn, "conv") else not cudnn.allow_tf32


@pytest.mark.parametrize("kind", ["halving", "paths"])
def test_a_teacher_is_asked_in_full_float32(kind, spec, halving):
    task, found = halving if kind == "halving" else consistency(spec), []
    task.teaches = lambda x, times: found.append(full()) or SimpleNamespace(sample=x)
    task._errors(asked(lambda x, t: x), X0, EPS, task.table[:, [1]].expand(-1, len(X0)))
    assert found == [True] * (2 if kind == "halving" else 1)
    assert not full()


def test_no_two_rounds_of_a_ladder_see_the_same_batch(spec, monkeypatch):
    seen = []
    monkeypatch.setattr(Halving, "_errors", lambda task, net, x0, eps, level: seen.append((x0, eps, level[0])) or x0)
    for steps in (4, 4, 2):
        task = Halving(recipe.from_plain(LADDER | {"teacher": spec, "batch": 16}), images(), "cpu", "", steps)
        task.table = torch.arange(4096.0).expand(9, -1)
        task.loss(None, 2)
    first, again, other = seen
    assert all(torch.equal(a, b) for a, b in zip(first, again))
    assert not any(torch.equal(a, b) for a, b in zip(first, other))


def on_paths(x, t):
    """v of the network whose x_0 reading is where the path of LINE through each pixel ends."""
    end = LINE.flow(x.double().reshape(-1, 1), NS, t, NS.t(4.0)).reshape(x.shape) if t > NS.t(4.0) * (1 + 1e-6) else x.double()
    return ((NS.alpha(t) * x - end) / NS.sigma(t)).float()


def exact_v(x, t):
    return exact_model(LINE, NS)(x.double().reshape(-1, 1), t).v.reshape(x.shape).float()


def test_for_the_exact_consistency_function_the_loss_is_the_solvers_local_error(spec):
    """From the middle of the span over h, h/2, h/4: one step of DDIM errs by O(h^2): its root falls to a quarter."""
    found = []
    for intervals in (16, 32, 64):
        task = consistency(spec, intervals)
        task.teaches = asked(exact_v)
        level = task.table[:, [intervals // 2]].expand(-1, len(X0))
        found.append(float(task._errors(asked(on_paths), X0, EPS, level).mean().sqrt()))
    orders = [log2(a / b) for a, b in pairwise(found)]
    assert orders == pytest.approx([2, 2], abs=0.15)


def test_without_a_teacher_the_other_point_has_the_same_noise_on_the_same_image_and_no_gradient():
    task = ConsistencyTraining(recipe.from_plain(PATHS | {"teacher": "", "network": DENOISER.network}), images((1, 8, 8)))
    x0, eps = torch.randn(2, 5, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    calls = []

    def net(x, times):
        calls.append((x, float(times[0]) / 1000, torch.is_grad_enabled()))
        return SimpleNamespace(sample=torch.zeros_like(x))

    task._errors(net, x0, eps, task.table[:, [1]].expand(-1, 5))
    grid = grids.uniform_t(NS, *map(NS.t, task.recipe.lams), 4)
    assert [(pytest.approx(t, rel=1e-6), graph) for _, t, graph in calls] == [(grid[2], False), (grid[1], True)]
    for x, t, _ in calls:
        assert torch.allclose(x, NS.alpha(t) * x0 + NS.sigma(t) * eps, atol=1e-5)
    assert not same(task.network().state_dict(), sb.get_network("digits").net.state_dict())


def test_a_student_begins_as_its_teacher(spec):
    task = consistency(spec)
    assert same(task.network().state_dict(), sb.get_network(spec).net.state_dict())
    assert all(value.requires_grad for value in task.network().parameters())
    assert not any(value.requires_grad for value in sb.get_network(spec).net.parameters())
    assert task.recipe.lams == (-4.0, 4.0)


class Killed(Exception):
    pass


def killed_in(steps, step, monkeypatch):
    """Ends the training of the student of so many steps in the middle of that step."""
    plain = Halving.loss

    def loss(task, net, at):
        if (task.steps, at) == (steps, step):
            raise Killed
        return plain(task, net, at)

    monkeypatch.setattr(Halving, "loss", loss)


@pytest.fixture(scope="module")
def ladder(tmp_path_factory):
    """A recipe with a small teacher, and its training from end to end."""
    place = tmp_path_factory.mktemp("ladder")
    teacher = str(folder(place / "teacher", CARD | {"lams": [-5.0, 5.0]}, sample_size=8))
    made = recipe.from_plain(LADDER | {"teacher": teacher})
    assert loop.train(made, place / "whole") == place / "whole" / "steps-1" / "model"
    return made, place


@pytest.mark.parametrize("step", [0, 3])
def test_a_ladder_killed_in_its_second_round_resumes_to_the_bit_and_makes_no_round_again(step, ladder, tmp_path, monkeypatch):
    made, place = ladder
    with monkeypatch.context() as patch:
        killed_in(1, step, patch)
        with pytest.raises(Killed):
            loop.train(made, tmp_path, minutes=0)
    assert (tmp_path / "steps-1" / "checkpoint.safetensors").exists() == (step > 0)
    made_steps, plain = [], Halving.loss
    monkeypatch.setattr(Halving, "loss", lambda task, net, at: made_steps.append((task.steps, at)) or plain(task, net, at))
    loop.train(made, tmp_path, resume=True)
    assert made_steps == [(1, at) for at in range(step, 6)]
    for student in ("steps-2", "steps-1"):
        assert same(weights(place / "whole" / student), weights(tmp_path / student))


def test_each_students_card_says_its_teacher_and_its_sampler(ladder):
    made, place = ladder
    first, second = (sb.get_network(place / "whole" / f"steps-{n}" / "model") for n in (2, 1))
    teacher = sb.get_network(made.teacher)
    assert [p.name for p in (first, second)] == ["ladder-2", "ladder-1"]
    assert first.card["teacher"] == {"name": teacher.name, "sha256": teacher.sha256, "spec": made.teacher}
    assert second.card["teacher"] == {"name": "ladder-2", "sha256": first.sha256, "teacher": first.card["teacher"]}
    assert second.card["sampled"] == {"solver": "ddim", "grid": "uniform_t", "steps": 1}
    assert second.span == teacher.span
    assert second.card["recipe"]["lams"] == [-5.0, 5.0]
    with pytest.raises(sb.UsageError, match="holds a training already"):
        loop.train(made, place / "whole")


def test_a_consistency_model_is_trained_and_read_by_its_card(ladder, tmp_path):
    made = recipe.from_plain(PATHS | {"teacher": ladder[0].teacher})
    problem = sb.get_network(loop.train(made, tmp_path))
    assert problem.card["sampled"] == {"solver": "consistency", "grid": "uniform_t", "steps": [1, 2, 4]}
    assert problem.card["teacher"] == {"name": "small", "sha256": sb.get_network(made.teacher).sha256, "spec": made.teacher}
    assert problem.name == "paths"


def test_another_teacher_in_the_same_place_is_refused(tmp_path):
    made = recipe.from_plain(PATHS | {"teacher": str(folder(tmp_path / "teacher", CARD, sample_size=8))})
    loop.train(made, tmp_path / "a")
    path = tmp_path / "teacher" / "diffusion_pytorch_model.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\x3c")
    with pytest.raises(sb.UsageError, match=r"made with a teacher of SHA-256 \w{16}, and this one has \w{16}: resume with the"):
        loop.train(made, tmp_path / "a", resume=True)
    task = ConsistencyTraining(made, images((1, 8, 8)))
    with pytest.raises(sb.UsageError, match="and this one has none"):
        State(task.network(), task.recipe).restore(tmp_path / "a")


@pytest.mark.parametrize("what", ["weight", "sign"])
def test_an_error_of_v_counts_between_a_half_and_one_and_moves_x0_the_other_way(what, spec):
    """x0 - x0~ = -sigma (v - v~), and max(alpha^2/sigma^2, 1) sigma^2 = max(alpha^2, sigma^2)."""
    task, v = consistency(spec), torch.zeros_like(X0)
    for level, (s, _) in lessons(task):
        at = levels(level)[0]
        low, high = (task._x0(asked(lambda x, t, off=off: v + off), X0, at) for off in (0.0, 0.5))
        if what == "sign":
            assert torch.allclose(high - low, torch.full_like(X0, -0.5 * NS.sigma(s)), atol=1e-6)
        else:
            assert 0.5 * 0.25 <= float(missed(high, low, at).mean()) <= 0.25 * (1 + 1e-5)


def test_a_consistency_model_is_for_steps_whose_times_it_was_taught(spec):
    assert [consistency(spec, n).card({})["sampled"]["steps"] for n in (3, 6, 8)] == [[1], [1, 2], [1, 2, 4]]
