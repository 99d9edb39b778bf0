"""`sdebench audit`: rows, faults, exit status, files, and foreign code that does what it should not."""

import json
import re
import shlex
from pathlib import Path
from textwrap import dedent

import pytest
import yaml

from sdebench._support.errors import UsageError
from sdebench.studies.audit import make_case
from sdebench.studies.audit.measure import measure_here

FOREIGN = dedent("""
    import os, time
    import torch

    class Base:
        init_noise_sigma = 1.0
        def set_timesteps(self, num_inference_steps):
            self.sigmas = torch.linspace(1, 0, num_inference_steps + 1, dtype=torch.float64)
            self.timesteps = 1000 * self.sigmas[:-1]
        def move(self, v, t, x):
            i = (self.timesteps == t).nonzero().item()
            return x + (self.sigmas[i + 1] - self.sigmas[i]) * v
        def step(self, model_output, timestep, sample):
            return (self.move(model_output, timestep, sample),)
        def scale_noise(self, sample, timestep, noise):
            places = [(self.timesteps == t).nonzero().item() for t in timestep]
            s = self.sigmas[places].view(-1, 1, 1, 1)
            return (1 - s) * sample + s * noise

    class Right(Base):
        pass

    class NeverEnds(Base):
        def move(self, v, t, x):
            while True:
                time.sleep(0.01)

    class Crashes(Base):
        def move(self, v, t, x):
            os.abort()

    class Exits(Base):
        def move(self, v, t, x):
            raise SystemExit(0)

    class Prints(Base):
        def move(self, v, t, x):
            print("hello from the peer")
            return super().move(v, t, x)

    class GivesANumber(Base):
        def step(self, model_output, timestep, sample):
            return 1.0

    class ComplexTimes(Base):
        def set_timesteps(self, num_inference_steps):
            super().set_timesteps(num_inference_steps)
            self.timesteps = self.timesteps * 1j

    class NeedsArguments(Base):
        def __init__(self, depth):
            self.depth = depth

    class NoScheduler:
        pass

    class OtherStep(Base):
        def step(self, a, b):
            return a

    def sampler(model, x, sigmas, extra_args=None, callback=None, disable=None):
        for s, t in zip(sigmas[:-1], sigmas[1:]):
            x = x + (t - s) * (x - model(x, s * x.new_ones(len(x)))) / s
        return x
""")


def docs_blocks(page):
    """(language, title, text) of the blocks of a page of the docs."""
    text = (Path(__file__).parents[2] / "docs" / page).read_text()
    return re.findall(r'^```(\w+) title="([^"]+)"\n(.*?)^```$', text, re.MULTILINE | re.DOTALL)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(FOREIGN)
    return tmp_path


@pytest.fixture
def audit(folder, sdebench):
    def run(*words, status=0):
        found, out, err = sdebench("audit", *words)
        assert found == status, out + err
        return out, err

    return run


def test_what_is_right_has_no_fault(folder, audit):
    out, _ = audit("mine.py:Right", "mine.py:sampler", "--claim", "1", "--json", "--csv", "rows.csv", "--junit", "out.xml")
    found = json.loads(out)
    assert [one["spec"] for one in found] == ["mine.py:Right", "mine.py:sampler"]
    assert all(one["faults"] == [] and one["version"].startswith("sha256:") for one in found)
    assert {"check", "what", "value", "verdict"} == set(found[0]["readings"][0])
    assert (folder / "rows.csv").read_text().startswith("peer,")
    assert 'failures="0"' in (folder / "out.xml").read_text()


def test_a_fault_has_its_figure_and_its_command(folder, audit):
    out, _ = audit("mine.py:Right", "--claim", "2", "--check", "order", "--json", "--junit", "out.xml", status=1)
    (fault,) = json.loads(out)[0]["faults"]
    assert fault["check"] == "order"
    assert abs(fault["value"] - 1) < 0.05
    assert fault["repeat"] == "sdebench audit mine.py:Right --check order --claim 2"
    assert 'failures="1"' in (folder / "out.xml").read_text()


BAD = {
    "NeverEnds": "no answer within",
    "Crashes": "SIGABRT",
    "Exits": "SystemExit",
    "GivesANumber": "step gives 1.0",
    "ComplexTimes": "one real number a step",
}


def test_what_foreign_code_must_not_do_is_a_finding(audit):
    specs = [f"mine.py:{name}" for name in (*BAD, "Right")]
    out, _ = audit(*specs, "--patience", "8", "--check", "runs", "--json", status=1)
    found = {one["spec"]: one["faults"] for one in json.loads(out)}
    for name, words in BAD.items():
        assert any(words in fault["what"] for fault in found[f"mine.py:{name}"]), (name, found)
    assert found["mine.py:Right"] == []


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("mine.py:NeedsArguments", "cannot be made"),
        ("mine.py:NoScheduler", "--as"),
        ("mine.py:OtherStep", "takes"),
        ("mine.py:Missing", "has no 'Missing'"),
        ("absent.py:Missing", "no file"),
        ("not_there_at_all:Thing", "pip install"),
        ("mine.py:Right[depth=1]", "has no setting 'depth'"),
        ("mine.py", "package.module:Name"),
        ("mine.py:Right[a=[1]", "not closed"),
    ],
)
def test_what_is_no_sampler_gets_one_line(folder, spec, words):
    with pytest.raises(UsageError, match=re.escape(words)) as refused:
        measure_here(make_case(spec, checks=("runs",)))
    assert "\n" not in str(refused.value)


def test_such_a_line_ends_the_command_with_status_2(audit):
    _, err = audit("mine.py:NeedsArguments", status=2)
    assert "cannot be made" in err
    assert "Traceback" not in err


def test_what_it_prints_is_kept_apart(audit):
    out, err = audit("mine.py:Prints", "--check", "runs", "--json")
    json.loads(out)
    assert err.count("hello from the peer") == 1


def test_an_unknown_check_or_interface_gets_one_line(folder):
    with pytest.raises(UsageError, match="did you mean 'levels'"):
        measure_here(make_case("mine.py:Right", checks=("level",)))
    with pytest.raises(UsageError, match="did you mean 'sigmas'"):
        measure_here(make_case("mine.py:sampler", interface="sigma"))


def test_the_workflow_of_the_docs_finds_the_fault_of_its_scheduler(folder, audit):
    blocks = {info: text for _, info, text in docs_blocks("jobs/audit.md")}
    (folder / "my_scheduler.py").write_text(blocks["my_scheduler.py"])
    steps = yaml.safe_load(blocks["audit.yml"])["jobs"]["audit"]["steps"]
    assert len(blocks["audit.yml"].splitlines()) <= 11
    _, *words = shlex.split(steps[-1]["run"])
    out, _ = audit(*words[1:], status=1)
    assert "writes into the state" in out
    assert 'failures="1"' in (folder / "audit.xml").read_text()
