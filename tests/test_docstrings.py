"""Everything public says what it is."""

import ast
from pathlib import Path

import pytest

import sdebench

PACKAGE = Path(sdebench.__file__).parent
FILES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("name", FILES)
def test_every_public_function_and_class_has_a_docstring(name):
    parts = ast.parse((PACKAGE / name).read_text(encoding="utf-8")).body
    public = [part for part in parts if isinstance(part, ast.FunctionDef | ast.ClassDef) and not part.name.startswith("_")]
    assert [part.name for part in public if not ast.get_docstring(part)] == []
