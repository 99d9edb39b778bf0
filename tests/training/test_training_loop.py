"""The loop of a training: how it ends where its numbers are not finite any more, and what counts in its speed."""

import json
import signal
from dataclasses import replace
from types import SimpleNamespace

import pytest
from test_training import DENOISER, LABELS

from sdebench import cli, data
from sdebench._support.errors import UsageError
from sdebench.training import loop
from sdebench.training.classifier import Labels
from sdebench.training.denoiser import Denoiser
from sdebench.training.state import State


def test_a_diverged_training_ends_in_one_line_and_is_not_finished(tmp_path, capsys):
    """At a rate of 1e30 the first step throws the weights out of float32's range."""
    made = replace(DENOISER, rate=1e30, clip=1e30, validate=3).plain()
    network = made.pop("network")
    lines = [f"{key} = {json.dumps(value)}" for key, value in made.items()]
    lines += ["[network]", *(f"{key} = {json.dumps(value)}" for key, value in network.items())]
    (tmp_path / "wild.toml").write_text("\n".join(lines))
    assert cli._status(["train", str(tmp_path / "wild.toml"), "--out", str(tmp_path / "a")]) == 2
    told = capsys.readouterr().err.strip().splitlines()[-1]
    assert told.startswith("sdebench: the training diverged: loss is ")
    assert told.endswith("after step 3; give a recipe with a lower rate than 1e+30, and another --out")
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["log.jsonl"]
    assert not (tmp_path / "a" / "log.jsonl").read_text()


def without_a_loss(loss, net):
    return loss * float("nan")


def without_a_gradient(loss, net):
    return loss + (0 * next(net.parameters()).sum()).sqrt()  # adds 0, of slope 0 / 0


@pytest.mark.parametrize(("broken", "what"), [(without_a_loss, "loss"), (without_a_gradient, "net")])
def test_the_last_good_checkpoint_stays_when_a_training_diverges(broken, what, tmp_path, monkeypatch):
    made, plain = replace(DENOISER, steps=40), Denoiser.loss

    def loss(task, net, step):
        return broken(plain(task, net, step), net) if step == 7 else plain(task, net, step)

    monkeypatch.setattr(Denoiser, "loss", loss)
    with pytest.raises(UsageError, match=rf"diverged: {what}\S* is .* after step 8"):
        loop.train(made, tmp_path, minutes=0)
    state = State(Denoiser(made, data.load("digits")).network(), made)
    state.restore(tmp_path)
    assert state.step == 7
    assert all(parameter.isfinite().all() for parameter in state.net.parameters())


def test_figures_that_are_not_finite_finish_no_training(tmp_path, monkeypatch):
    loop.train(LABELS, tmp_path)
    card = (tmp_path / "model" / "card.json").read_text()
    monkeypatch.setattr(Labels, "validate", lambda self, net: {"validation": float("inf")})
    for folder, resume in ((tmp_path, True), (tmp_path / "new", False)):
        with pytest.raises(UsageError, match="diverged: validation is inf after step 12"):
            loop.train(LABELS, folder, resume=resume)
    assert (tmp_path / "model" / "card.json").read_text() == card
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["log.jsonl"]
    assert not (tmp_path / "new" / "log.jsonl").read_text()


def test_only_training_counts_in_the_speed_and_the_figures_are_made_once_a_check(tmp_path, monkeypatch):
    """A step takes 1 s here, a check 70 s and a checkpoint 40 s, so that some checkpoints fall between two lines."""
    now, calls = [0.0], []

    def slow(owner, name, seconds):
        plain = getattr(owner, name)

        def timed(*given):
            now[0] += seconds
            calls.append(name)
            return plain(*given)

        monkeypatch.setattr(owner, name, timed)

    slow(Labels, "loss", 1.0)
    slow(Labels, "validate", 70.0)
    slow(State, "save", 40.0)
    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: now[0]))
    told = []
    loop.train(replace(LABELS, steps=70, validate=30), tmp_path, minutes=0.25, watch=told.append)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [20, 30, 40, 60, 70]
    assert {line["images a second"] for line in lines} == {16.0} == {progress.rate for progress in told}
    assert calls.count("validate") == 3 < calls.count("save")
    figures = json.loads((tmp_path / "model" / "card.json").read_text())["figures"]
    assert figures == {"steps": 70} | told[-1].figures


def interrupted_at(step, times, monkeypatch):
    """Ctrl-C, so many times, in the middle of that step."""
    plain = Denoiser.loss

    def loss(task, net, at):
        if at == step:
            for _ in range(times):
                signal.raise_signal(signal.SIGINT)
        return plain(task, net, at)

    monkeypatch.setattr(Denoiser, "loss", loss)
    monkeypatch.setattr(signal, "getsignal", lambda _: signal.default_int_handler)  # a shell's background jobs are deaf to it


def test_an_interrupt_saves_the_step_it_came_in_and_resume_goes_on_to_the_bit(tmp_path, monkeypatch):
    whole = loop.train(DENOISER, tmp_path / "whole")
    with monkeypatch.context() as patch:
        interrupted_at(5, 1, patch)
        with pytest.raises(KeyboardInterrupt):
            loop.train(DENOISER, tmp_path / "cut")
    state = State(Denoiser(DENOISER, data.load("digits")).network(), DENOISER)
    state.restore(tmp_path / "cut")
    assert state.step == 6
    cut = loop.train(DENOISER, tmp_path / "cut", resume=True)
    weights = "diffusion_pytorch_model.safetensors"
    assert (cut / weights).read_bytes() == (whole / weights).read_bytes()


def test_a_second_interrupt_does_not_wait(tmp_path, monkeypatch):
    interrupted_at(5, 2, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        loop.train(DENOISER, tmp_path)
    assert not (tmp_path / "checkpoint.safetensors").exists()


def test_the_command_says_how_to_go_on(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(loop, "_steps", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    assert cli._status(["train", "digits", "--out", str(tmp_path / "a")]) == 130
    assert f"--resume goes on from the checkpoint in {tmp_path / 'a'}" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("--threads", "0", "--threads is 0: give a whole number, 1 or more"),
        ("--minutes", "-1", "minutes = -1 between checkpoints: give a number"),
    ],
)
def test_settings_that_are_none_are_refused(option, value, says, tmp_path, capsys):
    assert cli._status(["train", "digits", "--out", str(tmp_path), option, value]) == 2
    assert says in capsys.readouterr().err
