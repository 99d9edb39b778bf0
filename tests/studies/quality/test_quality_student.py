"""Students in the quality study: held against their teacher's trajectory; without it there is no error, and samples stay."""

import hashlib
import json
import shutil
from math import sqrt

import pytest
from safetensors.torch import load_file, save_file

from sdebench import get_solver
from sdebench._support.errors import UsageError
from sdebench.engine.suite import expand
from sdebench.networks import get_network
from sdebench.networks.loading import SHIPPED
from sdebench.studies.quality import QualityCase
from sdebench.studies.quality import error as quality_error
from sdebench.studies.quality import measure as quality
from sdebench.studies.quality import run as quality_run
from sdebench.studies.quality.run import Sampling
from sdebench.studies.quality.student import about, teacher_of

DIGITS = {"name": "digits", "sha256": get_network("digits").sha256}
WEIGHTS = "diffusion_pytorch_model.safetensors"


@pytest.fixture(autouse=True)
def _short(monkeypatch, tmp_path):
    """Reference runs of a few steps, kept in a folder of the test's own: what they miss is the same on both sides."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(quality_error, "FINE", (("heun-edm", "uniform_lam", 12), ("ddim", "uniform_lam", 20)))
    quality_error.converged.cache_clear()


@pytest.fixture
def student(tmp_path):
    """A function that makes a folder with a copy of digits whose answers are larger, and with more in its card."""

    def make(name="student", larger=1.1, **card):
        folder = tmp_path / name
        shutil.copytree(SHIPPED / "digits", folder)
        held = load_file(folder / WEIGHTS)
        tensors = {key: larger * value if key.startswith("conv_out") else value for key, value in held.items()}
        save_file(tensors, folder / WEIGHTS, {"format": "pt"})
        said = json.loads((folder / "card.json").read_text()) | {"teacher": DIGITS} | card
        said = {key: value for key, value in said.items() if value is not None}
        said["sha256"] = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
        (folder / "card.json").write_text(json.dumps(said))
        return str(folder)

    return make


def cases(model, **settings) -> list[QualityCase]:
    few = {
        "models": [model],
        "solvers": ["ddim"],
        "grids": ["uniform_t"],
        "budgets": [1, 2],
        "samples": 20,
        "points": 4,
        "kinds": ["error"],
        "reference": "float32",
    }
    return [task.case for task in expand({"study": "quality"} | few | settings)]


def rms(x) -> float:
    return float(x.square().mean().sqrt())


def test_its_error_is_that_to_its_teacher_s_trajectory_and_the_record_says_whose(student):
    """By hand, to 1e-6; to the end of its own trajectory it would be another by more than 1e-3."""
    model = student(sampled={"solver": "ddim", "grid": "uniform_t", "steps": 2})
    (case,) = cases(model)
    found, at = quality.measure(case), Sampling(model, "float32", "cpu", 0)
    data, its, own = found.data, *(quality_error.converged(at._replace(model=m), 4).ends for m in ("digits", model))
    for i, n in enumerate((1, 2)):
        grid = quality_run.grid_of(at.problem, "uniform_t", n)
        ends = quality_run.sample(get_solver("ddim"), at.problem.model, grid, at, 0, 4).flatten(1).double()
        assert data["rms"][i] == pytest.approx(rms(ends - its), rel=1e-6)
        assert abs(data["rms"][i] / rms(ends - own) - 1) > 1e-3
    assert (data["n"], data["nfe"], data["budget"]) == ([1, 2],) * 3
    assert data["reference_of"] == DIGITS
    assert found.context["teacher"] == DIGITS
    assert found.context["sampled"]["steps"] == 2


def test_of_any_other_network_nothing_is_said_of_teachers():
    (case,) = cases("digits", ladder=[4])
    found = quality.measure(case)
    assert case.ladder == (1, 2, 4)
    assert "reference_of" not in found.data
    assert not {"teacher", "sampled"} & set(found.context)


def test_it_has_no_ladder_beyond_its_budgets_and_no_exact_pictures(student):
    found = cases(student(), kinds=["error", "pictures"], ladder=[64, 96])
    assert [case.ladder for case in found if case.kind == "error"] == [(1, 2)]
    assert [case.solver for case in found if case.kind == "pictures"] == ["ddim"]


def test_of_consistency_sampling_one_step_has_an_error_and_more_are_left_out(student, monkeypatch):
    """Its floor is the noise of the grid's end and the reference's there, which here has no error bar of its own."""
    monkeypatch.setattr(quality_error, "FINE", (("ddim", "uniform_lam", 4),) * 2)
    with pytest.warns(UserWarning, match="left out: solver 'consistency' draws noise in its later steps: its error"):
        found = cases(student(), solvers=["consistency"], budgets=[1, 2, 4], kinds=["samples", "error"])
    assert [case.ladder for case in found if case.kind == "error"] == [(1,)]
    assert [case.budget for case in found if case.kind == "samples"] == [4, 2, 1]
    problem = get_network("digits")
    data = quality.measure(next(case for case in found if case.kind == "error")).data
    assert data["floor"] == [pytest.approx(sqrt(2) * problem.schedule.rho(problem.span[1]))]
    with pytest.raises(UsageError, match="give the budget 1"):
        cases(student("other"), solvers=["consistency"], budgets=[2])


def test_a_stochastic_method_of_another_kind_has_no_error_in_one_step(student):
    with pytest.raises(UsageError, match="solver 'ddpm' draws noise: its states have no exact ones"):
        cases(student(), solvers=["ddpm"], budgets=[1])


def test_what_cannot_be_run_in_one_evaluation_is_said(student):
    with pytest.warns(UserWarning, match="solver 'heun-edm' makes more than 1 network calls in its shortest run"):
        assert [case.ladder for case in cases(student(), solvers=["ddim", "heun-edm"])] == [(1, 2), (2,)]


def test_the_teacher_of_a_student_s_student_is_the_first_of_them(student):
    first = student()
    second = student("second", larger=1.2, teacher={"name": first, "sha256": get_network(first).sha256})
    at = Sampling(second, "float32", "cpu", 3)
    assert teacher_of(at) == at._replace(model="digits")
    assert teacher_of(at._replace(model="digits")) == at._replace(model="digits")


def test_a_teacher_that_is_not_here_may_be_named_with_its_own(student):
    between = {"name": "not-here", "sha256": "b" * 64, "teacher": DIGITS}
    at = Sampling(student(teacher=between), "float32", "cpu", 0)
    assert teacher_of(at) == at._replace(model="digits")
    assert about(at)["teacher"] == DIGITS


def test_a_teacher_that_is_no_network_of_the_package_is_found_by_its_spec(student):
    """All are called digits, the name of their data: name alone would find the one of the package."""
    own = student("own", larger=1.2, teacher=None)
    its = {"name": "digits", "sha256": get_network(own).sha256}
    at = Sampling(student(teacher=its | {"spec": own}), "float32", "cpu", 0)
    assert teacher_of(at) == at._replace(model=own)
    assert about(at)["teacher"] == its  # a record keeps no paths


def test_a_teacher_of_the_package_is_found_by_its_sha256_whatever_it_is_called(student):
    its = {"name": "digits", "sha256": get_network("digits-smooth").sha256, "spec": "some/folder/of/another"}
    at = Sampling(student(teacher=its), "float32", "cpu", 0)
    assert teacher_of(at) == at._replace(model="digits-smooth")


def test_a_card_whose_teacher_is_a_name_alone_is_not_read(student):
    with pytest.raises(UsageError, match=r"card\.json has the teacher 'digits': give the file that came") as caught:
        get_network(student(teacher="digits"))
    assert "\n" not in str(caught.value)


def test_a_card_starts_no_factory(student, tmp_path, monkeypatch):
    (tmp_path / "trap.py").write_text("import pathlib\ndef make(): pathlib.Path('sprung').touch()\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    its = {"name": "trap:make", "sha256": "a" * 64, "spec": "trap:make"}
    with pytest.raises(UsageError, match="does not say in its card what taught it"):
        teacher_of(Sampling(student(teacher=its), "float32", "cpu", 0))
    assert not (tmp_path / "sprung").exists()


def test_a_consistency_model_without_a_teacher_has_samples_and_no_error(student):
    model = student(teacher=None, sampled={"solver": "consistency", "grid": "uniform_t", "steps": [1, 2]})
    with pytest.warns(UserWarning, match="network 'digits' had no teacher, so that nothing says"):
        found = cases(model, solvers=["consistency"], kinds=["samples", "pictures", "error"])
    assert [(case.kind, case.solver) for case in found if case.kind != "samples"] == [("pictures", "consistency")]
    assert [case.budget for case in found if case.kind == "samples"] == [2, 1]
    assert set(about(Sampling(model, "float32", "cpu", 0))) == {"sampled"}


WRONG = {
    "another teacher": ({"teacher": DIGITS | {"sha256": "a" * 64}}, "had a teacher 'digits' of SHA-256 aaaaaaaaaaaa, and"),
    "no such teacher": ({"teacher": {"name": "digist", "sha256": "a" * 64}}, "of network 'digits' is not here: unknown"),
    "no hash": ({"teacher": {"name": "digits"}}, "in its card: give its name and sha256"),
    "a name alone": ({"teacher": DIGITS | {"teacher": "digits"}}, "in its card: give its name and sha256"),
    "another span": ({"lams": [-4.0, 5.5]}, "has another schedule, span or shape than its teacher 'digits'"),
}


@pytest.mark.parametrize("what", WRONG)
def test_of_a_student_of_another_teacher_there_are_samples_and_no_error_which_is_said_in_one_line(student, what):
    card, message = WRONG[what]
    model = student(**card)
    with pytest.raises(UsageError, match=message) as caught:
        cases(model)
    assert "\n" not in str(caught.value)
    with pytest.warns(UserWarning, match=message):
        assert {case.kind for case in cases(model, kinds=["samples", "error"])} == {"samples"}
    assert set(about(Sampling(model, "float32", "cpu", 0))["teacher"]) == {"name", "sha256"}
