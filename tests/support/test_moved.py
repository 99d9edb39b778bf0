"""Old module names give the new modules, with a warning that says them."""

import subprocess
import sys
from importlib import import_module

import pytest

from sdebench._support import moved


@pytest.mark.parametrize("old", sorted(moved.MOVED))
def test_an_old_module_is_the_new_one(old):
    new = f"sdebench.{moved.MOVED[old]}"
    sys.modules.pop(f"sdebench.{old}", None)
    with pytest.warns(DeprecationWarning, match=f" is {new} now"):
        module = import_module(f"sdebench.{old}")
    assert module is import_module(new)
    assert module.__name__ == module.__spec__.name == new


def test_what_lay_in_an_old_folder_is_found_in_the_new_one():
    sys.modules.pop("sdebench.executors.lines", None)
    with pytest.warns(DeprecationWarning, match="integration.executors.lines now"):
        module = import_module("sdebench.executors.lines")
    assert module is import_module("sdebench.integration.executors.lines")


def test_an_old_function_is_the_new_one():
    base, suite = import_module("sdebench.studies.base"), import_module("sdebench.engine.suite")
    with pytest.warns(DeprecationWarning, match="expand is sdebench.engine.suite.expand now"):
        assert base.expand is suite.expand
    with pytest.raises(AttributeError, match="has no attribute 'expnd'"):
        _ = base.expnd


def test_a_name_that_never_was_is_an_error():
    with pytest.raises(ModuleNotFoundError, match="walker"):
        import_module("sdebench.studies.walker")


def test_new_names_warn_of_nothing():
    code = "import sdebench.engine.runner, sdebench.integration.executors.native, sdebench.studies.base"
    subprocess.run([sys.executable, "-W", "error::DeprecationWarning:sdebench", "-c", code], check=True)
