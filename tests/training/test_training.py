"""A training is a pure function of its recipe: resumed, it goes on bit for bit; what it cannot use it refuses in one line."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from itertools import pairwise
from math import perm
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from sdebench import data
from sdebench._support.errors import UsageError
from sdebench.integration.prediction import KINDS, conversion, target
from sdebench.training import Recipe, batches, loop, recipe
from sdebench.training.classifier import Labels
from sdebench.training.denoiser import Denoiser
from sdebench.training.state import CHECKPOINT, State

TINY = {
    "sample_size": 8,
    "in_channels": 1,
    "out_channels": 1,
    "block_out_channels": [8, 8],
    "layers_per_block": 1,
    "down_block_types": ["DownBlock2D", "DownBlock2D"],
    "up_block_types": ["UpBlock2D", "UpBlock2D"],
    "norm_num_groups": 4,
}
DENOISER = Recipe("tiny", "denoiser", "digits", TINY, batch=8, steps=12, rate=1e-3, warmup=2, cooldown=4, ema=0.9)
LABELS = Recipe("tiny", "classifier", "digits", {"channels": [8, 16], "features": 8}, 16, 12, 1e-2, 2, 4, 0.9, shifts=1)
LONG = replace(LABELS, steps=100_000, cooldown=10)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(folder / CHECKPOINT)


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def broken_off(task, made: Recipe, folder: Path, steps: int) -> None:
    """Make the first `steps` steps, and leave a checkpoint, as a training that is killed after it does."""
    state = State(task.network(), made)
    folder.mkdir()
    while state.step < steps:
        state.update(task.loss(state.net, state.step))
    state.save(folder)


@pytest.mark.parametrize(
    ("made", "task"),
    [(DENOISER, Denoiser), (replace(DENOISER, channels_last=True), Denoiser), (LABELS, Labels)],
    ids=["denoiser", "channels last", "classifier"],
)
def test_a_resumed_training_equals_an_unbroken_one_to_the_bit(made, task, tmp_path):
    loop.train(made, tmp_path / "whole")
    broken_off(task(made, data.load("digits")), made, tmp_path / "broken", 5)
    loop.train(made, tmp_path / "broken", resume=True)
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "broken"))


def ahead(folder: Path) -> bool:
    """Whether the log has a line that was written after the checkpoint."""
    log, checkpoint = (folder / name for name in ("log.jsonl", CHECKPOINT))
    return log.stat().st_mtime_ns > checkpoint.stat().st_mtime_ns


def last_step(folder: Path) -> int:
    """The last step in the log of a training that may be writing it."""
    lines = (folder / "log.jsonl").read_text().splitlines() if (folder / CHECKPOINT).exists() else []
    return max((json.loads(line)["step"] for line in lines if line.endswith("}")), default=0)


def test_a_killed_training_loses_at_most_what_came_after_its_checkpoint(tmp_path):
    code = (
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[1]); from test_training import LONG, loop;"
        "loop.train(LONG, Path(sys.argv[2]), minutes=0.01, resume=len(sys.argv) > 3)"
    )
    for resume in ([], ["resume"]):
        before, deadline = last_step(tmp_path), time.monotonic() + 300
        command = [sys.executable, "-c", code, str(Path(__file__).parent), str(tmp_path), *resume]
        run = subprocess.Popen(command, start_new_session=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
        try:
            while run.poll() is None and time.monotonic() < deadline:
                if last_step(tmp_path) >= before + 60 and ahead(tmp_path):
                    break
                time.sleep(0.02)
        finally:
            os.killpg(run.pid, signal.SIGKILL)
            run.wait()
        assert last_step(tmp_path) >= before + 60
    steps = [json.loads(line)["step"] for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert steps == list(range(20, steps[-1] + 20, 20)), "every line stands in the log once, also of steps made twice"
    State(Labels(LONG, data.load("digits")).network(), LONG).restore(tmp_path)  # it is whole


def test_more_steps_may_be_asked_for_until_the_rate_falls(tmp_path):
    short, long = DENOISER, replace(DENOISER, steps=16)
    task = Denoiser(short, data.load("digits"))
    broken_off(task, short, tmp_path / "a", 5)
    loop.train(long, tmp_path / "a", resume=True)
    loop.train(long, tmp_path / "b")
    assert same(weights(tmp_path / "a"), weights(tmp_path / "b"))
    broken_off(task, short, tmp_path / "late", 10)
    with pytest.raises(UsageError, match="steps = 12, and this run has 16"):
        loop.train(long, tmp_path / "late", resume=True)


def test_another_recipe_is_refused(tmp_path):
    broken_off(Denoiser(DENOISER, data.load("digits")), DENOISER, tmp_path / "a", 1)
    with pytest.raises(UsageError, match=r"made with rate = 0\.001, and this run has 0\.002"):
        loop.train(replace(DENOISER, rate=2e-3), tmp_path / "a", resume=True)


def test_a_flipped_byte_in_a_checkpoint_is_refused(tmp_path):
    broken_off(Denoiser(DENOISER, data.load("digits")), DENOISER, tmp_path / "a", 1)
    path = tmp_path / "a" / CHECKPOINT
    whole = path.read_bytes()
    path.write_bytes(whole[:4] + b"\xff" + whole[5:])
    with pytest.raises(UsageError, match="cannot read the checkpoint"):
        loop.train(DENOISER, tmp_path / "a", resume=True)
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UsageError, match="cannot read the checkpoint"):
        loop.train(DENOISER, tmp_path / "a", resume=True)
    path.write_bytes(whole[:-9] + bytes([whole[-9] ^ 64]) + whole[-8:])
    with pytest.raises(UsageError, match="damaged"):
        loop.train(DENOISER, tmp_path / "a", resume=True)


def test_folders_are_never_mixed_up(tmp_path):
    with pytest.raises(UsageError, match="holds no checkpoint"):
        loop.train(DENOISER, tmp_path, resume=True)
    broken_off(Denoiser(DENOISER, data.load("digits")), DENOISER, tmp_path / "a", 1)
    with pytest.raises(UsageError, match="holds a training already"):
        loop.train(DENOISER, tmp_path / "a")


@pytest.mark.parametrize("kind", KINDS)
def test_the_target_of_a_kind_is_what_its_prediction_is_read_from(kind):
    """conversion(kind -> x0) of the target gives x0 back, to rounding: the network learns what the solver reads."""
    x0, eps = torch.randn(2, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    alpha, sigma = (0.8, 0.6) if kind != "velocity" else (0.7, 0.3)
    c, d = conversion(kind, "x0", alpha, sigma)
    read = c * (alpha * x0 + sigma * eps) + d * target(kind, x0, eps, alpha, sigma)
    assert torch.allclose(read, x0, rtol=0, atol=1e-14)


def test_every_image_comes_once_an_epoch_and_batches_run_on():
    made, size = replace(DENOISER, batch=8), 20
    seen = torch.cat([batches.indices(size, made, step) for step in range(5)])  # 40: two epochs
    assert sorted(seen[:20].tolist()) == list(range(20)) == sorted(seen[20:].tolist())
    assert seen[:20].tolist() != seen[20:].tolist()


def test_moved_images_are_windows_of_the_padded_one():
    made = replace(LABELS, flips=False, shifts=1)
    image = torch.arange(9.0).reshape(1, 1, 3, 3).expand(64, 1, 3, 3)
    padded = torch.nn.functional.pad(image[:1], (1,) * 4, mode="replicate")[0, 0]
    windows = {tuple(padded[i : i + 3, j : j + 3].flatten().tolist()) for i in range(3) for j in range(3)}
    assert {tuple(moved.flatten().tolist()) for moved in batches.augmented(image, made, 0)} == windows


def test_flips_mirror_some_and_leave_the_others():
    made = replace(LABELS, flips=True, shifts=0)
    image = torch.arange(4.0).reshape(1, 1, 2, 2).expand(64, 1, 2, 2)
    both = {(0.0, 1.0, 2.0, 3.0), (1.0, 0.0, 3.0, 2.0)}
    assert {tuple(one.flatten().tolist()) for one in batches.augmented(image, made, 0)} == both


def test_the_rate_rises_stays_and_falls_to_zero():
    made = replace(DENOISER, steps=100, warmup=9, cooldown=49, rate=1.0)
    rates = [made.rate_at(step) for step in range(100)]
    assert rates[:10] == pytest.approx([0.1 * k for k in range(1, 11)])
    assert rates[10:51] == [1.0] * 41
    assert rates[99] == pytest.approx(1 / 50)
    assert all(a > b for a, b in pairwise(rates[51:]))


def test_the_average_counts_the_weights_after_step_j_of_n_by_9_over_n_j_over_n_to_the_8():
    """To rounding by (j+1)...(j+8) / ((n+1)...(n+9)) 9, as long as `ema` is not reached."""
    made, n = replace(DENOISER, ema=0.9999), 400
    counts = [1.0]
    for step in range(n):
        kept = made.ema_at(step)
        counts = [kept * count for count in counts] + [1 - kept]
    for j in (0, 1, 200, 399, 400):
        assert counts[j] == pytest.approx(9 * perm(j + 8, 8) / perm(n + 9, 9), rel=1e-10, abs=0)
    assert counts[200] == pytest.approx(9 / n * 0.5**8, rel=0.1)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"batchh": 3}, "unknown key 'batchh' of a recipe; did you mean 'batch'"),
        ({"steps": "many"}, "steps of a recipe is 'many': give a int"),
        ({"steps": 3}, "do not fit into 3 steps"),
        ({"task": "denoise"}, "give one of denoiser, classifier"),
        ({"lams": [2.0, -2.0]}, "the noisier"),
        ({"time_scale": 0.0}, "more than 0"),
    ],
)
def test_a_wrong_recipe_is_refused(content, message):
    with pytest.raises(UsageError, match=message):
        recipe.from_plain(DENOISER.plain() | content)


@pytest.mark.parametrize("name", list(recipe.names()))
def test_shipped_recipes_can_be_read(name):
    assert recipe.load(name).name == name


def test_a_network_is_told_its_time_at_the_scale_of_its_recipe():
    told = []

    def net(x, times):
        told.append(times)
        return SimpleNamespace(sample=x)

    for scale in (1000.0, 20.0):
        task = Denoiser(replace(DENOISER, time_scale=scale), data.load("digits"))
        task.loss(net, 0)
        assert task.card({})["time"] == {"kind": "continuous", "scale": scale}
    assert torch.allclose(told[0], 50 * told[1])
    assert 10 < told[1].max() <= 20


def test_the_last_stratum_of_times_ends_within_the_table(monkeypatch):
    """7 + u is 8 in float32 for the greatest u < 1, and 8 / 8 is the end of the table."""
    monkeypatch.setattr(torch, "rand", lambda n, generator: torch.full((n,), 1 - 2.0**-24))
    told = []

    def net(x, times):
        told.append(times)
        return SimpleNamespace(sample=x)

    task = Denoiser(DENOISER, data.load("digits"))
    task.loss(net, 0)
    assert told[0][-1] == task.time(task.table[0, -1])
    assert told[0][-2] < told[0][-1]


def test_a_small_training_lowers_the_validation_loss(tmp_path):
    """From the start's 0.9 or so (the variance of v) to below 0.6 in 150 steps."""
    made = replace(DENOISER, steps=150, batch=32, rate=3e-3, warmup=5, cooldown=50, validate=150)
    folder = loop.train(made, tmp_path / "a")
    card = json.loads((folder / "card.json").read_text())
    assert card["figures"]["validation"] < 0.6
    assert (tmp_path / "a" / "samples-0000150.png").stat().st_size > 0
    assert (tmp_path / "a" / "loss.png").stat().st_size > 0
