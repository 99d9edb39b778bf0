"""What a change of code costs, who is to blame, and records that are kept over a change that cannot move a number."""

import importlib
import json
import sys
from pathlib import Path

import pytest

from sdebench import records
from sdebench._support.errors import UsageError
from sdebench._support.registry import SOLVERS
from sdebench.engine import runner
from sdebench.engine.code import manifest_path, read_manifest
from sdebench.engine.rekey import Accepted, accept, voided
from sdebench.engine.suite import Task
from sdebench.records import code
from sdebench.studies import base

SHOP = {
    "__init__": "",
    "weights": '''
"""Weights."""


def half(x):
    return 0.5 * x


def third(x):
    return 0.3125 * x
''',
    "solvers": '''
"""Two solvers."""
from dataclasses import dataclass

import sdebench as sb

from shop.weights import half, third


@dataclass(frozen=True)
class One(sb.Solver):
    order, nfe_per_step = 1, 1

    def step(self, model, x, s, t, past=(), noise=None):
        return sb.Step(half(x))


@dataclass(frozen=True)
class Two(sb.Solver):
    order, nfe_per_step = 1, 1

    def step(self, model, x, s, t, past=(), noise=None):
        return sb.Step(third(x))


@sb.register_solver("shop-three", r=0.75)
@dataclass(frozen=True)
class Three(One):
    r: float = 1.0
''',
    "study": '''
"""A study of both."""
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np

from sdebench import catalogue
from sdebench.records import Claims
from sdebench.schedules import VPLinear
from sdebench.studies.base import Found, Study
from sdebench.studies.settings import solvers, whole


@dataclass(frozen=True)
class ShopSettings:
    solvers: tuple[str, ...] = solvers("ddim")
    count: int = whole(2)


@dataclass(frozen=True)
class ShopCase:
    number: int
    solver: str


def scale(x):
    return 1.5 * x


class ShopStudy(Study):
    """What a shop takes."""

    name = "shop"
    settings, case = ShopSettings, ShopCase

    def cases(self, settings):
        return [ShopCase(i, spec) for spec in settings.solvers for i in range(settings.count)]

    def measure(self, case):
        solver = catalogue.get_solver(case.solver)
        x = np.full(3, scale(float(case.number)))
        found = solver.step(SimpleNamespace(schedule=VPLinear()), x, 0.75, 0.5).x
        return Found({"dim": 3}, Claims.of(solver), {"rms": [float(found.max())]}, {"x": found})
''',
}
ONE, TWO, PRESET = "shop.solvers:One", "shop.solvers:Two", "shop-three"


class Shop:
    """The package: what is written, what is measured, and where."""

    def __init__(self, folder: Path):
        self.folder, self.path = folder, folder / "r.jsonl"
        for name, source in SHOP.items():
            self.file(name).parent.mkdir(exist_ok=True)
            self.file(name).write_text(source)
        self.forget()

    def file(self, name: str) -> Path:
        return self.folder / "shop" / f"{name}.py"

    def forget(self) -> None:
        for module in [m for m in sys.modules if m.partition(".")[0] == "shop"]:
            del sys.modules[module]
        importlib.invalidate_caches()
        base._solver.cache_clear()
        code.forget()

    def edit(self, name: str, old: str, new: str) -> None:
        text = self.file(name).read_text()
        assert text.count(old) == 1
        self.file(name).write_text(text.replace(old, new))
        self.forget()

    def tasks(self, *solvers: str, count: int = 2) -> list[Task]:
        importlib.import_module("shop.solvers")  # registers one
        study = importlib.import_module("shop.study").ShopStudy()
        settings = study.settings(solvers or (ONE, TWO), count)
        return [Task(study, case) for case in study.cases(settings)]

    def run(self, *solvers: str, **settings: int) -> int:
        return runner.run(self.tasks(*solvers, **settings), self.path).measured

    def why(self, *solvers: str) -> dict[str, str]:
        """solver -> why its cases would be measured."""
        found = voided(self.tasks(*solvers), self.path)
        reasons = {(v.planned.task.json["solver"], v.why) for v in found}
        assert len(reasons) == len(dict(reasons)), "the cases of one solver have several reasons"
        return dict(reasons)

    def records(self) -> dict[tuple, records.Record]:
        return {(r.case["solver"], r.case["number"]): r for r in records.read(self.path)}


@pytest.fixture
def shop(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    made = Shop(tmp_path)
    yield made
    made.forget()
    SOLVERS.entries.pop(PRESET, None)


def agree(names) -> dict[str, str]:
    """A gate that finds nothing moved."""
    return {}


def test_nothing_is_voided_by_what_changes_no_number(shop):
    assert shop.why() == dict.fromkeys((ONE, TWO), "never measured")
    assert shop.run() == 4
    assert shop.why() == {}
    for name, old, new in (
        ("weights", '"""Weights."""', "# weights of 1768"),
        ("solvers", '"""Two solvers."""', '"""Two solvers, and more."""'),
        ("study", '"""What a shop takes."""', '"""What it takes."""'),
        ("study", "return [ShopCase(i, spec)", "return [ShopCase(i + 0, spec)"),
    ):
        shop.edit(name, old, new)
        assert shop.why() == {}
    assert shop.run() == 0


def test_a_coefficient_voids_its_solver_s_records_and_is_named(shop):
    shop.run()
    shop.edit("weights", "0.3125", "0.375")
    assert shop.why() == {TWO: "changed shop.weights.third"}
    assert shop.run() == 2
    assert shop.why() == {}
    assert {s: r.data["rms"] for (s, n), r in shop.records().items() if n == 1} == {ONE: [0.75], TWO: [0.5625]}
    shop.edit("study", "1.5 * x", "1.25 * x")
    assert shop.why() == dict.fromkeys((ONE, TWO), "changed shop.study.scale")


def test_what_came_what_is_gone_and_a_preset_are_told_too(shop):
    shop.run()
    shop.edit("weights", "    return 0.3125 * x", "    return fourth(x)\n\n\ndef fourth(x):\n    return 0.25 * x")
    assert shop.why() == {TWO: "changed shop.weights.third; new shop.weights.fourth"}
    shop.run()
    shop.edit("solvers", "third(x)", "half(x)")
    gone = "gone shop.weights.fourth; gone shop.weights.third"
    assert shop.why() == {TWO: f"changed shop.solvers.Two; {gone}; new shop.weights.half"}
    assert shop.run(PRESET) == 2
    shop.edit("solvers", "r=0.75", "r=0.875")
    assert shop.why(PRESET) == {PRESET: "a preset or a setting of the code changed"}


def test_a_definition_that_only_moved_is_not_to_blame(shop):
    shop.run()
    shop.file("more").write_text("def third(x):\n    return 0.3125 * x\n")
    shop.edit("solvers", "from shop.weights import half, third", "from shop.more import third\nfrom shop.weights import half")
    assert shop.why() == {}
    shop.edit("solvers", "sb.Step(third(x))", "sb.Step(1 * third(x))")
    assert shop.why() == {TWO: "changed shop.solvers.Two"}
    shop.edit("more", "0.3125", "0.375")
    assert shop.why() == {TWO: "changed shop.solvers.Two; gone shop.weights.third; new shop.more.third"}


def test_without_its_list_of_definitions_a_change_is_told_by_the_code(shop):
    shop.run()
    first = shop.records()[TWO, 0].code
    assert {r.code for r in shop.records().values()} == set(read_manifest(shop.path)["codes"])
    for content in (None, b"", b"{", b"[]", b'{"codes": 1}'):
        manifest_path(shop.path).unlink(missing_ok=True)
        if content is not None:
            manifest_path(shop.path).write_bytes(content)
        shop.edit("weights", "0.3125", "0.375")
        assert shop.why() == {TWO: f"measured by code {first}, of which no list of definitions is kept"}
        shop.edit("weights", "0.375", "0.3125")
        assert shop.why() == {}


def test_the_list_of_definitions_holds_what_the_records_need_and_is_written_where_something_is_new(shop):
    shop.run()
    path = manifest_path(shop.path)
    before = path.read_bytes()
    path.touch()
    stamp = path.stat().st_mtime_ns
    assert shop.run(count=3) == 2
    assert (path.read_bytes(), path.stat().st_mtime_ns) == (before, stamp)
    shop.edit("weights", "0.3125", "0.375")
    shop.run()
    assert set(read_manifest(shop.path)["codes"]) == {r.code for r in records.read(shop.path)}
    assert len(read_manifest(shop.path)["codes"]) == 3
    shop.path.write_bytes(b"".join(line for line in shop.path.read_bytes().splitlines(keepends=True) if b":One" in line))
    shop.edit("weights", "0.375", "0.4375")
    shop.run()
    held = read_manifest(shop.path)
    assert set(held["codes"]) == {r.code for r in records.read(shop.path)}
    listed = [line.rsplit(" ", 1)[0] for line in held["definitions"]]
    assert listed.count("shop.weights.third") == 1, "what nothing needs is still in it"


def lines(path: Path) -> dict[tuple, bytes]:
    found = {}
    for line in path.read_bytes().splitlines():
        case = json.loads(line)["case"]
        found[case["solver"], case["number"]] = line
    return found


def test_accepted_records_have_a_new_key_the_old_one_with_the_reason_and_their_numbers_byte_for_byte(shop):
    shop.run()
    before, old = lines(shop.path), shop.records()
    arrays = {p.name: p.read_bytes() for p in records.arrays.folder(shop.path).iterdir()}
    shop.edit("weights", "0.3125 * x", "x * 0.3125")
    assert shop.why() == {TWO: "changed shop.weights.third"}
    asked = []
    assert accept(shop.tasks(), shop.path, "a product has no order", lambda names: asked.append(names) or {}) == Accepted(
        2, {}, 0
    )
    assert asked == [[TWO]]
    assert shop.why() == {}
    after, new = lines(shop.path), shop.records()
    assert list(after) == list(before)
    for (solver, number), line in before.items():
        was, now = old[solver, number], new[solver, number]
        if solver == ONE:
            assert after[solver, number] == line
            continue
        assert now.key == records.make_key(now.case, now.code) != was.key
        assert now.code != was.code
        (past,) = now.rekeyed
        assert (past.key, past.code, past.reason) == (was.key, was.code, "a product has no order")
        assert past.when.endswith("+00:00")
        same = line.replace(was.key.encode(), now.key.encode(), 1).replace(was.code.encode(), now.code.encode(), 1)
        assert after[solver, number].startswith(same.removesuffix(b"}") + b', "rekeyed": [{')
        assert records.load_arrays(now)["x"].tolist() == records.load_arrays(was)["x"].tolist()
    assert {p.name: p.read_bytes() for p in records.arrays.folder(shop.path).iterdir()} == arrays
    assert shop.run() == 0


def test_records_may_be_accepted_again_and_keep_all_their_keys(shop):
    shop.run()
    first = shop.records()[TWO, 1]
    shop.edit("weights", "0.3125 * x", "x * 0.3125")
    accept(shop.tasks(), shop.path, "first", agree)
    second = shop.records()[TWO, 1]
    shop.edit("weights", "x * 0.3125", "x * (0.625 / 2)")
    assert shop.why() == {TWO: "changed shop.weights.third"}
    accept(shop.tasks(), shop.path, "second", agree)
    third = shop.records()[TWO, 1]
    assert [(p.key, p.reason) for p in third.rekeyed] == [(first.key, "first"), (second.key, "second")]
    assert len({first.key, second.key, third.key}) == 3
    assert shop.why() == {}


@pytest.mark.parametrize("reason", ["", "  \n"])
def test_without_a_reason_nothing_is_accepted(shop, reason):
    shop.run()
    shop.edit("weights", "0.3125 * x", "x * 0.3125")
    before = shop.path.read_bytes()
    with pytest.raises(UsageError, match="no reason given: say in a few words") as caught:
        accept(shop.tasks(), shop.path, reason, agree)
    assert "\n" not in str(caught.value)
    assert shop.path.read_bytes() == before


def test_a_solver_whose_figures_moved_is_refused_and_the_others_are_kept(shop):
    shop.run()
    before = lines(shop.path)
    shop.edit("study", "1.5 * x", "x * 1.5")
    done = accept(shop.tasks(), shop.path, "a product has no order", lambda names: {TWO: "order moved (-2%)"})
    assert (done.kept, done.refused, done.left) == (2, {TWO: "order moved (-2%)"}, 0)
    after = lines(shop.path)
    assert {solver for (solver, _), line in after.items() if line != before[solver, _]} == {ONE}
    assert shop.why() == {TWO: "changed shop.study.scale"}
    assert shop.run() == 2


def test_cases_without_a_record_are_left_to_be_measured(shop):
    shop.run()
    shop.edit("weights", "0.3125 * x", "x * 0.3125")
    done = accept(shop.tasks(count=3), shop.path, "a product has no order", agree)
    assert (done.kept, done.left) == (2, 2)
    assert shop.run(count=3) == 2


def test_where_nothing_changed_the_gate_is_not_asked_and_nothing_is_written(shop):
    def gate(names):
        raise AssertionError("asked")

    assert accept(shop.tasks(), shop.path, "why not", gate) == Accepted(0, {}, 4)
    assert not shop.path.exists()
    shop.run()
    before = shop.path.read_bytes()
    assert accept(shop.tasks(), shop.path, "why not", gate) == Accepted(0, {}, 0)
    assert shop.path.read_bytes() == before


def test_a_failed_record_that_is_kept_is_failed_still(shop):
    shop.edit("weights", "return 0.3125 * x", "return 1 / 0")
    shop.run()
    shop.edit("weights", "return 1 / 0", "return 2 / 0")
    assert accept(shop.tasks(), shop.path, "fails as before", agree).kept == 2
    kept = shop.records()[TWO, 0]
    assert (kept.status, kept.message) == ("failed", "ZeroDivisionError: division by zero")
    assert shop.run() == 0


def test_a_file_that_another_run_writes_is_left_alone(shop):
    shop.run()
    shop.edit("weights", "0.3125 * x", "x * 0.3125")
    before = shop.path.read_bytes()
    with records.Writer(shop.path), pytest.raises(UsageError, match="another run is writing"):
        accept(shop.tasks(), shop.path, "a product has no order", agree)
    assert shop.path.read_bytes() == before


def test_a_disk_that_is_full_leaves_the_records_as_they_were(shop, monkeypatch):
    shop.run()
    shop.edit("weights", "0.3125 * x", "x * 0.3125")
    before = shop.path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(records.store, "write_atomic", full)
    with pytest.raises(UsageError, match=r"no room for .*: free some"):
        accept(shop.tasks(), shop.path, "a product has no order", agree)
    monkeypatch.undo()
    assert shop.path.read_bytes() == before
    assert accept(shop.tasks(), shop.path, "a product has no order", agree).kept == 2


def test_lost_arrays_are_told_and_no_reason_brings_them_back(shop):
    shop.run()
    gone, spoilt = (Path(shop.records()[TWO, n].arrays.path) for n in range(2))
    gone.unlink()
    spoilt.write_bytes(b"nonsense")
    assert {v.why for v in voided(shop.tasks(), shop.path)} == {
        "its arrays are gone",
        "its arrays are not those that were measured (another SHA-256)",
    }
    before = shop.path.read_bytes()
    assert accept(shop.tasks(), shop.path, "please", agree) == Accepted(0, {}, 2)
    assert shop.path.read_bytes() == before
    assert shop.run() == 2
