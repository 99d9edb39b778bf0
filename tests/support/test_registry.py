"""Spec strings, settings and near misses.  (Entry points: `test_plugins`.)"""

import importlib
import sys
from dataclasses import dataclass

import pytest

import sdebench as sb
from sdebench._support.errors import UsageError, near_miss
from sdebench._support.registry import STUDIES, Registry, split_spec


@dataclass(frozen=True)
class Thing:
    size: int = 3
    weight: float = 0.5
    loud: bool = False
    name: str = "x"


def fresh() -> Registry:
    registry = Registry("thing", "sdebench.no-such-group", "sdebench list things")
    registry.register("thing")(Thing)
    registry.register("big-thing", size=9)(Thing)
    return registry


@pytest.mark.parametrize(
    ("spec", "parts"),
    [
        ("a", ("a", {})),
        (" a ", ("a", {})),
        ("a[]", ("a", {})),
        ("a[r=0.5]", ("a", {"r": "0.5"})),
        ("a[r=0.5, k = 2 ]", ("a", {"r": "0.5", "k": "2"})),
        ("m.n:C[x=y]", ("m.n:C", {"x": "y"})),
    ],
)
def test_a_spec_is_a_name_and_settings(spec, parts):
    assert split_spec(spec) == parts


@pytest.mark.parametrize("spec", ["a[r=1", "a[r]", "a[=1]", "a[r=1,r=2]", "a[r=1]x", "a[ =1]"])
def test_a_spec_that_cannot_be_read_is_refused(spec):
    with pytest.raises(UsageError, match=r"cannot read .*: give ") as caught:
        split_spec(spec)
    assert spec in str(caught.value)


def test_settings_become_what_the_defaults_are():
    assert fresh().get("thing[size=4,weight=2,loud=TRUE,name=y]") == Thing(4, 2.0, True, "y")
    assert type(fresh().get("thing[weight=2]").weight) is float


@pytest.mark.parametrize("spec", ["thing[size=4.5]", "thing[size=four]", "thing[weight=heavy]", "thing[loud=1]"])
def test_a_value_of_another_type_is_refused(spec):
    with pytest.raises(UsageError, match="give a value like"):
        fresh().get(spec)


def test_a_preset_is_fixed():
    assert fresh().get("big-thing") == Thing(9)
    with pytest.raises(UsageError, match="unknown setting 'size'"):
        fresh().get("big-thing[size=3]")


@pytest.mark.parametrize("spec", ["thing", "thing[size=4]", "thing[size=4,weight=0.25,loud=True,name=y]"])
def test_a_spec_comes_back(spec):
    registry = fresh()
    assert registry.name_of(registry.get(spec)) == spec


@pytest.mark.parametrize("spec", ["big-thing", "big-thing[weight=2.0]", "thing[loud=true]"])
def test_the_name_of_a_thing_makes_its_equal(spec):
    registry = fresh()
    assert registry.get(registry.name_of(registry.get(spec))) == registry.get(spec)


def test_an_unregistered_class_has_its_path_for_a_name():
    class Mine:
        pass

    assert fresh().name_of(Mine()).endswith(":test_an_unregistered_class_has_its_path_for_a_name.<locals>.Mine")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("thin", "unknown thing 'thin'; did you mean 'thing'"),
        ("zzz", "unknown thing 'zzz' ('sdebench list things' shows all; one of your own that is no entry point: module:Class)"),
        ("thing[sise=3]", "setting 'sise' of thing 'thing'; did you mean 'size'? (it has settings: size, weight, loud, name)"),
        ("no.such.module:C", "cannot load thing 'no.such.module:C'"),
        ("math:no_such", "give package.module:Class, on the Python path"),
    ],
)
def test_what_is_not_there_is_named_with_what_is_near(spec, message):
    with pytest.raises(UsageError) as caught:
        fresh().get(spec)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("wrong", "right"), [("dpm-solver+-2m", "dpm-solver++-2m"), ("unipc3", "unipc-3"), ("heun", "heun-t"), ("lms3", "lms-3")]
)
def test_near_misses_of_solvers(wrong, right):
    with pytest.raises(UsageError, match="did you mean") as caught:
        sb.get_solver(wrong)
    assert repr(right) in str(caught.value)


def test_a_name_is_given_once():
    registry = fresh()
    registry.register("thing")(Thing)  # the same again, as when a cell of a notebook is run twice

    class Other:
        pass

    with pytest.raises(UsageError, match="registered twice"):
        registry.register("thing")(Other)
    assert registry.get("thing") == Thing()
    assert registry.names() == ("thing", "big-thing")


@pytest.mark.parametrize("spec", [5, None, ["thing"], b"thing", Thing(), Thing])
def test_a_spec_that_is_no_string_is_refused(spec):
    with pytest.raises(UsageError, match="cannot name a thing: give a string"):
        fresh().get(spec)


@pytest.mark.parametrize("name", [Thing, 5, "", "my thing", "thing[size=4]", "my:thing", "a,b"])
def test_what_no_spec_could_name_is_not_registered(name):
    registry = fresh()
    with pytest.raises(UsageError, match="cannot name a thing: give it in quotes"):
        registry.register(name)(Thing)
    with pytest.raises(UsageError, match="thing 'mine' is 5: give a class"):
        registry.register("mine")(5)
    assert registry.names() == ("thing", "big-thing")


def test_a_misspelt_name_of_the_package_is_named():
    with pytest.raises(AttributeError, match="no attribute 'get_solvr'; did you mean 'get_solver'"):
        sb.get_solvr  # noqa: B018
    assert not hasattr(sb, "qqqq")


def test_a_class_by_its_path():
    assert fresh().get("fractions:Fraction[numerator=3]") == 3


def test_settings_of_what_has_none():
    with pytest.raises(UsageError, match=r"unknown setting 'r' of solver 'ddim' \(it has no settings\)"):
        sb.get_solver("ddim[r=1]")


def test_nothing_is_near_far_away():
    assert near_miss("qqqq", ["thing"]) == ""
    assert near_miss("thang", ["thing", "zebra"]) == "; did you mean 'thing'?"


def test_shipped_names_are_there_and_do_what_they_say():
    assert sb.get_solver("dpm-solver-2[r=0.25]").r == 0.25
    assert sb.get_problem("mixture-1d[schedule=EDM]").schedule == sb.schedules.EDM()
    for name in ("unipc-3", "lms-4", "ipndm-4", "deis-tab-3", "dpm-solver-2m", "dpm-solver++-2s", "heun-edm"):
        assert name in sb.list_solvers()
    assert {"mixture-1d", "mixture-2d", "product-16d"} <= set(sb.list_problems())


SHELF = {
    "shelf_registry.py": """
from sdebench._support.registry import Registry

THINGS = Registry("thing", "sdebench.no-such-group", "sdebench list things", ("shelf",))
register_thing = THINGS.register
""",
    "shelf/__init__.py": 'ORDER = ("broken", "sound")\n',
    "shelf/broken.py": 'from shelf_registry import register_thing\n\n1 / 0\nregister_thing("broken-1")(object)\n',
    "shelf/sound.py": """
from shelf_registry import register_thing


@register_thing("sound-1")
class Sound:
    def __init__(self, r=1):
        self.r = r


register_thing("sound-2", r=2)(Sound)
""",
}


def test_names_are_known_without_an_import_and_a_file_is_imported_for_its_own_names_only(tmp_path, monkeypatch):
    for name, source in SHELF.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    things = importlib.import_module("shelf_registry").THINGS
    assert things.names() == ("broken-1", "sound-1", "sound-2")
    assert things.entries == {}
    with pytest.raises(UsageError, match="thing 'sound-1' is registered twice"):
        things.register("sound-1")(Thing)
    assert "shelf.sound" not in sys.modules
    assert (things.get("sound-2").r, things.get("sound-1[r=3]").r) == (2, 3)
    assert "shelf.broken" not in sys.modules
    with pytest.raises(ZeroDivisionError):
        things.get("broken-1")


def test_a_registered_study_is_told_its_name(monkeypatch):
    monkeypatch.setattr(STUDIES, "entries", dict(STUDIES.entries))

    @sb.register_study("a-study-of-a-test")
    class Mine(sb.Study):
        pass

    assert Mine.name == "a-study-of-a-test"
    assert STUDIES.get("a-study-of-a-test").name == Mine.name
    assert {name: STUDIES.get(name).name for name in STUDIES.names()} == {name: name for name in STUDIES.names()}
