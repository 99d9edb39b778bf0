"""Which functions, classes and settings make up the code of a case: those that its study, solver, problem and grid name."""

import importlib
import sys
from pathlib import Path

import pytest

from sdebench._support.registry import GRIDS, PROBLEMS
from sdebench.engine import runner
from sdebench.engine.code import Codes
from sdebench.engine.suite import Task, expand
from sdebench.records import code
from sdebench.studies import base
from sdebench.studies.order import OrderCase, OrderStudy

FILES = {
    "kin_base": """
from sdebench.studies.base import Found, Study


class Parent(Study):
    def measure(self, case):
        return Found(data={"rms": [self.one(case)]})

    def shared(self, x):
        return 0.5 * x
""",
    "kin": """
from dataclasses import dataclass
from functools import cached_property

from kin_base import Parent
from sdebench.studies.base import Found, Study


@dataclass(frozen=True)
class KinCase:
    number: int

    @property
    def twice(self):
        return 1.5 * self.number

    def thrice(self):
        return 1.75 * self.number


class Child(Parent):
    case = KinCase

    def one(self, case):
        return 0.75 * self.shared(case.twice)


class Alone(Study):
    case = KinCase

    def measure(self, case):
        return Found(data={"rms": [case.twice + case.thrice()]})


class Grandchild(Child):
    def measure(self, case):
        return super().measure(case)


class Stranger:
    r = 0.625
""",
    "kin_named": """
import sdebench as sb
from sdebench.grids import uniform_lam


def fine(schedule, s, t, n, bend=1.0):
    return uniform_lam(schedule, s, t, n * 1)


def line(shift=0.0):
    return sb.get_problem("mixture-1d")


sb.register_grid("kin-grid", bend=1.25)(fine)
sb.register_problem("kin-line", shift=1.5)(line)
""",
}


class Files:
    """Modules that are written, changed, and imported anew."""

    def __init__(self, folder: Path):
        self.folder = folder
        for name, source in FILES.items():
            (folder / f"{name}.py").write_text(source)

    def edit(self, name: str, old: str, new: str) -> None:
        path = self.folder / f"{name}.py"
        text = path.read_text()
        assert text.count(old) == 1
        path.write_text(text.replace(old, new))
        self.forget()

    def forget(self) -> None:
        for name in FILES:
            sys.modules.pop(name, None)
        for registry in (GRIDS, PROBLEMS):
            for name in ("kin-grid", "kin-line"):
                registry.entries.pop(name, None)
        importlib.invalidate_caches()
        base._solver.cache_clear()
        code.forget()

    def study(self, name: str) -> str:
        """The code of a case of that study."""
        module = importlib.import_module("kin")
        return Codes().of(Task(getattr(module, name)(), module.KinCase(1))).hash

    def named(self, **named: str) -> str:
        """The code of a case of the order study that names these."""
        importlib.import_module("kin_named")
        case = {"kind": "global", "solver": "ddim", "problem": "mixture-1d", "grid": "uniform_lam"} | named
        return Codes().of(Task(OrderStudy(), OrderCase(**case))).hash


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    made = Files(tmp_path)
    yield made
    made.forget()


@pytest.mark.parametrize("study", ["Child", "Grandchild"])
@pytest.mark.parametrize(
    ("what", "name", "old", "new"),
    [
        ("measure of a parent", "kin_base", "[self.one(case)]", "[2 * self.one(case)]"),
        ("a helper of a parent", "kin_base", "0.5", "0.25"),
        ("a method of its own that a parent's measure calls", "kin", "0.75", "0.25"),
    ],
)
def test_what_a_study_has_of_its_parents_counts(files, study, what, name, old, new):
    first = files.study(study), files.study("Alone")
    files.edit(name, old, new)
    assert files.study(study) != first[0], what
    assert files.study("Alone") == first[1]


@pytest.mark.parametrize("study", ["Alone", "Child", "Grandchild"])
@pytest.mark.parametrize(("what", "old", "new"), [("a property", "1.5", "1.25"), ("a method", "1.75", "1.25")])
def test_what_the_cases_of_a_study_compute_counts(files, study, what, old, new):
    first = files.study(study)
    files.edit("kin", old, new)
    assert files.study(study) != first, what


def test_what_stands_beside_a_study_does_not_count(files):
    studies = ("Alone", "Child", "Grandchild")
    first = [files.study(name) for name in studies]
    files.edit("kin", "0.625", "0.25")
    assert [files.study(name) for name in studies] == first


def test_a_grid_and_a_problem_of_a_user_count_and_what_their_names_fix(files):
    named = {
        "grid": {"grid": "kin-grid"},
        "its function": {"grid": "kin_named:fine"},
        "its setting": {"grid": "kin_named:fine[bend=2]"},
        "problem": {"problem": "kin-line"},
        "its class": {"problem": "kin_named:line"},
        "none": {},
    }

    def codes() -> dict[str, str]:
        return {what: files.named(**its) for what, its in named.items()}

    def changed(old: str, new: str) -> set[str]:
        before = codes()
        files.edit("kin_named", old, new)
        now = codes()
        return {what for what in named if now[what] != before[what]}

    assert changed("n * 1)", "n * 2)") == {"grid", "its function", "its setting"}
    assert changed("bend=1.25", "bend=1.375") == {"grid"}
    assert changed("shift=1.5", "shift=1.625") == {"problem"}
    assert changed('get_problem("mixture-1d")', 'get_problem("mixture-2d")') == {"problem", "its class"}


def test_a_grid_of_a_user_s_module_is_measured(files, tmp_path):
    table = {"study": "order", "solvers": ["ddim"], "grids": ["kin_named:fine"], "kinds": ["global"], "points": 4}
    tasks = expand(table)
    assert runner.run(tasks, tmp_path / "r.jsonl").failed == []
    assert runner.run(tasks, tmp_path / "r.jsonl").measured == 0


def test_cases_of_one_solver_share_their_code_and_those_of_another_have_their_own():
    table = {"study": "order", "solvers": ["ddim", "ddpm"], "grids": ["karras", "irregular"], "points": 4}
    tasks, codes, found = expand(table), Codes(), {}
    for task in tasks:
        found.setdefault((task.case.solver, task.case.grid), set()).add(codes.of(task).hash)
        assert codes.of(task) == Codes().of(task)
    assert {len(its) for its in found.values()} == {1}
    assert len(set.union(*found.values())) == len(found) > 4
