"""Spec strings: their values, their errors; files and what lies beside them; placeholders for what is not installed."""

import sys

import pytest

from sdebench._support.errors import UsageError
from sdebench.peers import adapt, get_peer
from sdebench.peers.spec import load, split


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("-0.5", -0.5),
        ("1e-3", 1e-3),
        ("true", True),
        ("False", False),
        ("None", None),
        ("null", None),
        ("multistep", "multistep"),
        ("'a, b]'", "a, b]"),
        ('"3"', "3"),
        ("[1, 2.5, none]", [1, 2.5, None]),
        ("[]", []),
        ("(1, 2)", (1, 2)),
        ("[[1, 2], [x]]", [[1, 2], ["x"]]),
        ("{a=1, b={c=[true]}}", {"a": 1, "b": {"c": [True]}}),
        ("dpmsolver++", "dpmsolver++"),
    ],
)
def test_a_value_is_read(text, value):
    assert split(f"some.module:Name[first=0,key={text},last=1]") == (
        "some.module",
        "Name",
        {"first": 0, "key": value, "last": 1},
    )


def test_a_spec_without_settings_names_a_module_or_a_file():
    assert split("a.b:C.d") == ("a.b", "C.d", {})
    assert split(" path/to/file.py:f ") == ("path/to/file.py", "f", {})
    assert split("a:B[]") == ("a", "B", {})


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("module", "give package.module:Name"),
        ("module:", "give package.module:Name"),
        (":Name", "give package.module:Name"),
        ("module:Name[a=1", "closing bracket"),
        ("module:Name[a]", "give each setting once, as key=value"),
        ("module:Name[a=1,a=2]", "give each setting once, as key=value"),
        ("module:Name[1a=2]", "give each setting once, as key=value"),
        ("module:Name[a=[1]", "not closed"),
        ("module:Name[a='b]", "not closed"),
    ],
)
def test_a_spec_that_cannot_be_read_says_what_to_give(spec, says):
    with pytest.raises(UsageError, match=says.replace("[", r"\[")):
        split(spec)


@pytest.mark.parametrize(
    ("module", "name", "says"),
    [
        ("no_such_package_here", "f", "no_such_package_here is not installed: pip install no_such_package_here"),
        ("k_diffusion_not.sampling", "f", "pip install k_diffusion_not"),
        ("math", "sine", "math has no 'sine'; did you mean 'sin'"),
        ("no/such/file.py", "f", "no file 'no/such/file.py'"),
    ],
)
def test_what_cannot_be_loaded_says_what_to_do(module, name, says):
    with pytest.raises(UsageError, match=says):
        load(module, name)


def test_a_file_that_fails_says_with_what(tmp_path):
    (tmp_path / "broken.py").write_text("x = 1 / 0\n")
    with pytest.raises(UsageError, match="ZeroDivisionError"):
        load(str(tmp_path / "broken.py"), "f")


SAMPLER = """
import absent_library.part as part
from absent_library import decorator
from beside import STEP

class Uses(part.Base):
    pass

def euler(model, x, sigmas):
    return x

def needs():
    return decorator(1)
"""


@pytest.fixture
def repository(tmp_path):
    """A file whose imports are beside it, or not there at all."""
    (tmp_path / "sampler_of_a_test.py").write_text(SAMPLER)
    (tmp_path / "beside.py").write_text("import absent_library\nSTEP = 1\n")
    path = list(sys.path)
    yield str(tmp_path / "sampler_of_a_test.py")
    assert sys.path == path
    for name in ("sampler_of_a_test", "beside"):
        sys.modules.pop(name, None)


def test_an_absent_library_is_stood_in_for_and_gone_afterwards(repository):
    found, stood_in = load(repository, "euler")
    assert stood_in == ("absent_library",)
    assert found(None, 3, None) == 3
    assert not any(name.startswith("absent_library") for name in sys.modules)
    with pytest.raises(ModuleNotFoundError):
        __import__("absent_library")


def test_what_uses_an_absent_library_says_which(repository):
    found, _ = load(repository, "needs")
    with pytest.raises(ModuleNotFoundError, match=r"absent_library\.decorator is used, and absent_library is not installed"):
        found()


def test_another_library_is_told_that_what_it_asks_for_is_absent(tmp_path, monkeypatch):
    """A library that asks whether another is there must not be told so by a placeholder."""
    (tmp_path / "library").mkdir()
    (tmp_path / "library" / "asks_for_more.py").write_text(
        "try:\n    import optional_library\n    THERE = True\nexcept ImportError:\n    THERE = False\n"
    )
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "own_of_a_test.py").write_text("import absent_one\nimport asks_for_more\nTHERE = asks_for_more.THERE\n")
    monkeypatch.syspath_prepend(tmp_path / "library")
    found, stood_in = load(str(tmp_path / "own" / "own_of_a_test.py"), "THERE")
    assert (found, stood_in) == (False, ("absent_one",))


def test_files_of_the_same_name_beside_two_files_are_not_confused(tmp_path):
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "tools_of_a_test.py").write_text(f"WHERE = {folder!r}\n")
        (tmp_path / folder / f"main_{folder}.py").write_text("from tools_of_a_test import WHERE\n")
    for folder in ("one", "two", "one"):
        assert load(str(tmp_path / folder / f"main_{folder}.py"), "WHERE")[0] == folder


def test_the_kind_is_told_by_the_signature_or_given(tmp_path):
    path = tmp_path / "several_of_a_test.py"
    path.write_text(
        "def sigmas(model, x, sigmas): ...\n"
        "def net(net, latents, num_steps=5): ...\n"
        "def plain(f, y, grid, more=1): ...\n"
        "def sde(sde, y0, ts): ...\n"
        "class Paper:\n"
        "    def __init__(self, model_fn, noise_schedule): ...\n"
        "    def sample(self, x, steps): ...\n"
        "class Scheduler:\n"
        "    def set_timesteps(self, num_inference_steps): ...\n"
        "    def step(self, model_output, timestep, sample): ...\n"
    )
    kinds = {name: get_peer(f"{path}:{name}")[0].kind for name in ("sigmas", "net", "plain", "sde", "Paper", "Scheduler")}
    assert kinds == {
        "sigmas": "sigmas",
        "net": "net",
        "plain": "callable",
        "sde": "sdeint",
        "Paper": "class",
        "Scheduler": "scheduler",
    }
    assert get_peer(f"{path}:sigmas", "callable")[0].kind == "callable"


def test_a_kind_that_does_not_fit_or_does_not_exist_is_refused():
    with pytest.raises(UsageError, match="unknown kind of interface 'sigma'; did you mean 'sigmas'"):
        get_peer("math:sin", "sigma")
    with pytest.raises(UsageError, match="no interface that is known"):
        adapt("sin", 3, {})
