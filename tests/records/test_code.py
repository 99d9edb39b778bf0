"""The code of a case: one changed coefficient changes what is built on it, and nothing else changes anything."""

import importlib
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sdebench._support.registry import STUDIES
from sdebench.catalogue import get_solver
from sdebench.records import code
from sdebench.records.code import Symbol, closure, code_of

ZOO = {
    "__init__": '''
        """Solvers of a package."""
        from zoo.shared.weights import lagrange
        ''',
    "shared/__init__": "",
    "shared/weights": '''
        """Weights of several methods."""
        HALF = 0.5


        def lagrange(h):
            return HALF * h


        def unused(h):
            return 0.25 * h
        ''',
    "base": """
        class Base:
            gain = 1.5

            def finish(self, x):
                return self.gain * x
        """,
    "euler": '''
        """Euler's method.

            x_t = 0.125 x_s
        """
        from dataclasses import dataclass

        from zoo.base import Base
        from zoo.tools import register_solver

        SCALE: float = 1.75


        @register_solver("euler", quiet=True)
        @dataclass(frozen=True)
        class Euler(Base):
            """The first order."""

            r: float = 0.75

            def step(self, x: float) -> float:
                """One step."""
                # a comment: 0.125
                if x < 0:
                    raise ValueError(f"x is {x}: give 0.125 or more")
                return self.helper(x) * SCALE

            def helper(self, x):
                return 2.5 * x
        ''',
    "built": """
        from dataclasses import dataclass, field

        from zoo.euler import Euler


        @dataclass(frozen=True)
        class Built:
            inner: object = field(default_factory=Euler)

            def step(self, x):
                return 3.5 * self.inner.step(x)
        """,
    "lazy": """
        class Lazy:
            def step(self, x):
                from zoo.shared.weights import lagrange

                return 4.5 * lagrange(x)
        """,
    "whole": """
        import zoo.shared.weights as w


        class Whole:
            def step(self, x):
                return 5.5 * w.lagrange(x)
        """,
    "within": """
        from zoo.shared import weights


        class Within:
            def step(self, x):
                return 5.25 * weights.lagrange(x)
        """,
    "passed": """
        from zoo.shared import weights
        from zoo.tools import best_of


        class Passed:
            def step(self, x):
                return best_of(weights)(x)
        """,
    "exported": """
        from . import lagrange as weight


        class Exported:
            def step(self, x):
                return 6.5 * weight(x)
        """,
    "dotted": """
        import zoo


        class Dotted:
            def step(self, x):
                return 7.5 * zoo.lagrange(x)
        """,
    "named": """
        from zoo.tools import load

        TABLE = {"a": "zoo.shared.weights:lagrange"}


        class Named:
            def step(self, x):
                return 8.5 * load(TABLE["a"])(x)
        """,
    "table": """
        from zoo.tools import Table

        TABLE = Table()
        MORE = []


        @TABLE.add("first")
        def first(x):
            return 9.5 * x


        MORE.append(10.5)


        class Tabled:
            def step(self, x):
                return TABLE["first"](x) + MORE[0]
        """,
    "functions": """
        from zoo.tools import register_solver


        def loss(x):
            return 11.5 * x


        def make(r=0.5):
            return loss
        register_solver("made", r=0.5)(make)
        """,
    "tools": """
        class Table(dict):
            def add(self, name):
                def register(thing):
                    self[name] = thing
                    return thing
                return register


        def register_solver(name, **settings):
            return lambda thing: thing


        def load(reference):
            import importlib

            module, _, name = reference.partition(":")
            return getattr(importlib.import_module(module), name)


        def best_of(module):
            return module.lagrange
        """,
}
ROOTS = {
    "euler:Euler",
    "built:Built",
    "lazy:Lazy",
    "whole:Whole",
    "within:Within",
    "passed:Passed",
    "exported:Exported",
    "dotted:Dotted",
    "named:Named",
    "table:Tabled",
    "functions:make",
}
LAGRANGE = {"lazy:Lazy", "whole:Whole", "within:Within", "passed:Passed", "exported:Exported", "dotted:Dotted", "named:Named"}
EULER = {"euler:Euler", "built:Built"}


class Package:
    """A package in a folder of its own, that is written, changed and hashed."""

    def __init__(self, folder: Path, name: str, files: dict[str, str]):
        self.folder, self.name = folder, name
        for file, source in files.items():
            self.write(file, source)

    def path(self, file: str) -> Path:
        return self.folder / self.name / f"{file}.py"

    def write(self, file: str, source: str) -> None:
        self.path(file).parent.mkdir(parents=True, exist_ok=True)
        indent = re.match(r"\n?( *)", source)[1]
        self.path(file).write_text("".join(f"{line.removeprefix(indent)}\n" for line in source.strip("\n").split("\n")))

    def replace(self, file: str, old: str, new: str) -> None:
        text = self.path(file).read_text()
        assert text.count(old) == 1, f"{old!r} is in {file} {text.count(old)} times"
        self.path(file).write_text(text.replace(old, new))

    def get(self, root: str) -> object:
        """What `module:name` is now."""
        module, _, name = root.partition(":")
        return getattr(importlib.import_module(f"{self.name}.{module}"), name)

    def thing(self, root: str) -> object:
        """That, or an object of it if it is a class."""
        found = self.get(root)
        return found() if isinstance(found, type) else found

    def forget(self) -> None:
        for module in [m for m in sys.modules if m.partition(".")[0] == self.name]:
            del sys.modules[module]
        importlib.invalidate_caches()
        code.forget()

    def hash(self, root: str) -> str:
        """The code of one root, of the files as they are."""
        self.forget()
        return code_of([self.thing(root)]).hash

    def hashes(self, roots: set[str] = ROOTS) -> dict[str, str]:
        self.forget()
        return {root: code_of([self.thing(root)]).hash for root in roots}


@pytest.fixture
def write(tmp_path, monkeypatch):
    """`write(files, name) -> Package`, on the path."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    made: list[Package] = []

    def package(files: dict[str, str], name: str = "zoo") -> Package:
        made.append(Package(tmp_path, name, files))
        return made[-1]

    yield package
    for one in made:
        one.forget()


@pytest.fixture
def zoo(write) -> Package:
    return write(ZOO)


def changed(package: Package, change: Callable[[], object], roots: set[str] = ROOTS) -> set[str]:
    """The roots whose code a change changes."""
    before = package.hashes(roots)
    change()
    now = package.hashes(roots)
    return {root for root in roots if now[root] != before[root]}


def test_the_same_files_have_the_same_code_and_different_solvers_have_different_ones(zoo):
    first = zoo.hashes()
    assert zoo.hashes() == first
    assert len({*first.values()}) == len(ROOTS)


# (file, old, new) -> the roots whose numbers may change
COEFFICIENTS = {
    "of a method that step calls": ("euler", "2.5", "2.625", EULER),
    "of the module": ("euler", "1.75", "1.875", EULER),
    "of a base class in another file": ("base", "1.5", "1.25", EULER),
    "of what is built on another": ("built", "3.5", "3.25", {"built:Built"}),
    "of a default": ("euler", "0.75", "0.875", EULER),
    "of what others import in all ways": ("shared/weights", "0.5", "0.625", LAGRANGE),
    "of a function-level importer": ("lazy", "4.5", "4.25", {"lazy:Lazy"}),
    "of a module's importer": ("whole", "5.5", "5.25", {"whole:Whole"}),
    "of what a decorator puts into a table": ("table", "9.5", "9.25", {"table:Tabled"}),
    "of a statement that fills a list": ("table", "10.5", "10.25", {"table:Tabled"}),
    "of what a factory gives out": ("functions", "11.5", "11.25", {"functions:make"}),
    "that is an operator": ("euler", "2.5 * x", "2.5 / x", EULER),
    "that is an order of terms": ("euler", "2.5 * x", "x * 2.5", EULER),
    "that is a whole number for a float": ("euler", "2.5 * x", "2 * x", EULER),
    "that is another name": ("lazy", "4.5 * lagrange(x)", "4.5 * lagrange(lagrange(x))", {"lazy:Lazy"}),
    "that is a new condition": ("euler", "if x < 0:", "if x <= 0:", EULER),
    "of a name that means another definition": ("lazy", "import lagrange", "import unused as lagrange", {"lazy:Lazy"}),
    "of a reference in a string": ("named", "weights:lagrange", "weights:unused", {"named:Named"}),
    "of a re-export": ("__init__", "import lagrange", "import unused as lagrange", {"exported:Exported", "dotted:Dotted"}),
    "of a parent": ("euler", "class Euler(Base)", "class Euler", EULER),
    "of what a raise is": ("euler", "raise ValueError", "raise KeyError", EULER),
}


@pytest.mark.parametrize("what", COEFFICIENTS)
def test_a_coefficient_changes_the_code_of_what_is_built_on_it_and_of_nothing_else(zoo, what):
    file, old, new, wanted = COEFFICIENTS[what]
    assert changed(zoo, lambda: zoo.replace(file, old, new)) == wanted


NOTHING = {
    "a comment": ("euler", "# a comment: 0.125", "# another: 0.25"),
    "a comment that was not there": ("euler", "return self.helper(x) * SCALE", "return self.helper(x) * SCALE  # so"),
    "a module's docstring": ("euler", "x_t = 0.125 x_s", "x_t = 0.25 x_s"),
    "a module's docstring that is gone": ("shared/weights", '"""Weights of several methods."""\n', ""),
    "a class's docstring": ("euler", "The first order.", "The first order, of 1768."),
    "a method's docstring": ("euler", '        """One step."""\n', ""),
    "an annotation": ("euler", "def step(self, x: float) -> float:", "def step(self, x: int) -> 'Tensor':"),
    "an annotation that is gone": ("euler", "def step(self, x: float) -> float:", "def step(self, x):"),
    "an annotation of a module's name": ("euler", "SCALE: float = 1.75", "SCALE: 'Final' = 1.75"),
    "an annotation of a module's name that is gone": ("euler", "SCALE: float = 1.75", "SCALE = 1.75"),
    "an error message": ("euler", 'f"x is {x}: give 0.125 or more"', '"give more", x'),
    "the name and settings of a registration": (
        "euler",
        '@register_solver("euler", quiet=True)',
        '@register_solver("euler-1")',
    ),
    "a registration below a factory": ("functions", 'register_solver("made", r=0.5)(make)', 'register_solver("f")(make)'),
    "white space": ("euler", "2.5 * x", "(2.5  *\n            x)"),
    "an import that nobody uses": (
        "euler",
        "from zoo.base import Base",
        "from zoo.base import Base\nfrom zoo.tools import load",
    ),
    "a function that nobody uses": ("euler", "SCALE: float", "def other(x):\n    return 0.25 * x\n\n\nSCALE: float"),
    "how a module is imported": ("whole", "import zoo.shared.weights as w", "from zoo.shared import weights as w"),
    "an import that moves into the function": (
        "exported",
        "from . import lagrange as weight",
        "from zoo.shared.weights import lagrange as weight",
    ),
}


@pytest.mark.parametrize("what", NOTHING)
def test_what_changes_no_number_leaves_the_code(zoo, what):
    file, old, new = NOTHING[what]
    assert changed(zoo, lambda: zoo.replace(file, old, new)) == set()


def test_a_function_that_a_solver_does_not_use_leaves_its_code_however_its_module_is_imported(zoo):
    """Only a module that is handed on as a whole counts as a whole."""
    assert changed(zoo, lambda: zoo.replace("shared/weights", "0.25", "0.375")) == {"passed:Passed"}


def test_a_new_unrelated_solver_leaves_the_code_of_the_others(zoo):
    source = "from zoo.euler import Euler\n\n\nclass Other(Euler):\n    gain = 0.25\n"
    assert changed(zoo, lambda: zoo.write("other", source)) == set()


def test_a_module_that_is_renamed_or_moved_leaves_the_code(zoo):
    before = zoo.hashes({"whole:Whole", "lazy:Lazy", "exported:Exported", "named:Named"})
    zoo.path("shared/weights").rename(zoo.folder / "zoo" / "coefficients.py")
    for file in ("lazy", "__init__"):
        zoo.replace(file, "zoo.shared.weights", "zoo.coefficients")
    zoo.replace("whole", "zoo.shared.weights", "zoo.coefficients")
    zoo.path("whole").rename(zoo.folder / "zoo" / "all_of_it.py")
    now = zoo.hashes({"all_of_it:Whole", "lazy:Lazy", "exported:Exported"})
    assert now == {
        "all_of_it:Whole": before["whole:Whole"],
        "lazy:Lazy": before["lazy:Lazy"],
        "exported:Exported": before["exported:Exported"],
    }


def test_a_package_that_is_renamed_leaves_the_code(write):
    files = {name: source for name, source in ZOO.items() if name not in ("named", "dotted")}  # they say its name in the code
    roots = ROOTS - {"named:Named", "dotted:Dotted"}
    first = write(files).hashes(roots)
    renamed = {name: source.replace("zoo", "aviary") for name, source in files.items()}
    assert write(renamed, "aviary").hashes(roots) == first


def test_the_fields_of_a_solver_count_and_its_class_is_hashed_once_for_all_of_them(zoo):
    zoo.forget()
    euler = zoo.get("euler:Euler")
    codes = [code_of([euler(r)]) for r in (0.75, 0.5, 0.75)]
    assert codes[0] == codes[2] != codes[1]
    assert codes[0].roots == codes[1].roots
    built = zoo.get("built:Built")
    assert code_of([built(euler(0.75))]).hash != code_of([built(euler(0.5))]).hash
    assert code_of([built((euler(0.75), euler(0.5)))]).hash != code_of([built((euler(0.5), euler(0.5)))]).hash


def test_texts_count_as_well_and_the_order_of_things_does_not(zoo):
    zoo.forget()
    one, other = zoo.thing("lazy:Lazy"), zoo.thing("whole:Whole")
    assert code_of([one, other]) == code_of([other, one])
    assert len({code_of([one], texts).hash for texts in ((), ("a",), ("b",))}) == 3


def test_a_method_is_a_root_with_the_methods_of_its_class_that_it_calls(zoo):
    """A study's `measure`: its cases and its section are not in it."""
    source = """
        from zoo.shared.weights import lagrange


        class Study:
            def cases(self):
                return 0.25

            def measure(self, case):
                return self.one(case)

            def one(self, case):
                return 1.5 * lagrange(case)

            def section(self, records):
                return 0.125
        """
    zoo.write("study", source)

    def measured() -> str:
        zoo.forget()
        return code_of([zoo.get("study:Study").measure]).hash

    seen = [measured()]
    for old, new in (("0.25", "0.5"), ("0.125", "0.5")):
        zoo.replace("study", old, new)
        seen.append(measured())
    assert len({*seen}) == 1
    zoo.replace("study", "1.5", "1.25")
    seen.append(measured())
    zoo.replace("shared/weights", "0.5", "0.625")
    seen.append(measured())
    assert len({*seen}) == 3


def test_definitions_tell_every_function_behind_a_root_and_only_the_changed_one_has_another_digest(zoo):
    zoo.forget()
    zoo.get("lazy:Lazy")
    before = code.definitions(Symbol("zoo.lazy", "Lazy"))
    assert before.keys() == {"zoo.lazy.Lazy", "zoo.shared.weights.lagrange", "zoo.shared.weights.HALF"}
    zoo.replace("shared/weights", "0.5", "0.625")
    zoo.forget()
    now = code.definitions(Symbol("zoo.lazy", "Lazy"))
    assert {name for name in before if now[name] != before[name]} == {"zoo.shared.weights.HALF"}


HALF = """
    # w.py
    def half(x):
        return 0.5 * x
    """
STEP = """

    class A:
        def step(self, x):
            return half(x)
    """
# Files of a package in which 0.5 is a coefficient of a:A.
WAYS = {
    "everything of a module": f"""{HALF}
    # a.py
    from way.w import *
    {STEP}""",
    "everything of a module, by the package": f"""{HALF}
    # __init__.py
    from way.w import *
    # a.py
    from way import half
    {STEP}""",
    "in a with block": f"""{HALF}
    # a.py
    from contextlib import suppress

    with suppress(ImportError):
        from way.w import half
    {STEP}""",
    "in a try block": f"""{HALF}
    # a.py
    try:
        from way.w import half
    except ImportError:
        half = None
    {STEP}""",
    "in a function, as a dotted name": f"""{HALF}
    # a.py
    class A:
        def step(self, x):
            import way.w

            return way.w.half(x)
    """,
    "from the folder above": f"""{HALF}
    # sub/__init__.py
    # sub/b.py
    from ..w import half
    {STEP}
    # a.py
    from .sub.b import A
    """,
    "a loop that fills a table": """
    # a.py
    TABLE = {}
    for k in (1, 2):
        TABLE[k] = 0.5 * k


    class A:
        def step(self, x):
            return TABLE[1]
    """,
    "an entry of a table": """
    # a.py
    TABLE = {}
    TABLE["a"] = 0.5


    class A:
        def step(self, x):
            return TABLE["a"]
    """,
    "a sum that grows": """
    # a.py
    R = 1
    R += 0.5


    class A:
        def step(self, x):
            return R
    """,
    "one of several names": """
    # a.py
    p, (q, r) = 1, (2, 0.5)


    class A:
        def step(self, x):
            return r
    """,
    "an attribute of a class": """
    # a.py
    class K:
        pass


    K.r = 0.5


    class A:
        def step(self, x):
            return K.r
    """,
    "a definition under a condition": f"""
    # a.py
    import sys

    if sys.version_info > (3,):
        def half(x):
            return 0.5 * x
    {STEP}""",
    "a definition under a condition in another file": f"""
    # w.py
    import sys

    if sys.version_info > (3,):
        def half(x):
            return 0.5 * x
    # a.py
    from way.w import half
    {STEP}""",
    "a name that is made at run time": f"""
    # w.py
    globals()["half"] = lambda x: 0.5 * x
    # a.py
    from way.w import half
    {STEP}""",
    "a lambda": f"""
    # a.py
    half = lambda x: 0.5 * x
    {STEP}""",
    "a default of an argument": """
    # w.py
    R = 0.5
    # a.py
    from way.w import R


    class A:
        def step(self, x, r=R):
            return r
    """,
    "an argument of a decorator": """
    # w.py
    def scaled(r):
        return lambda f: lambda *a: r * f(*a)
    # a.py
    from way.w import scaled


    class A:
        @scaled(0.5)
        def step(self, x):
            return x
    """,
    "an argument of a class": """
    # a.py
    class M:
        def __init_subclass__(cls, r=1):
            cls.r = r


    class A(M, r=0.5):
        def step(self, x):
            return self.r
    """,
    "a property": """
    # a.py
    class A:
        def step(self, x):
            return self.r

        @property
        def r(self):
            return 0.5
    """,
}


def files_of(text: str) -> dict[str, str]:
    """The files of a text, each under its name."""
    parts = re.split(r"^    # (\S+)\.py\n", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2]))


@pytest.mark.parametrize("way", WAYS)
def test_a_coefficient_counts_in_whatever_way_it_comes(write, way):
    files = files_of(WAYS[way])
    package = write({"__init__": ""} | files, "way")
    assert package.get("a:A")().step(1) in (0.5, 1.5), "the package of the test does not work"
    (where,) = (name for name, source in files.items() if "0.5" in source)
    assert changed(package, lambda: package.replace(where, "0.5", "0.25"), {"a:A"}) == {"a:A"}


def test_two_names_that_change_places_count(write):
    """Both functions are in the code before and after."""
    files = """
    # w.py
    def half(x):
        return 0.5 * x


    def third(x):
        return 0.3125 * x
    # a.py
    from way.w import half as p, third as q


    class A:
        def step(self, x):
            return p(x) - q(x)
    """
    way = write({"__init__": ""} | files_of(files), "way")
    assert changed(way, lambda: way.replace("a", "half as p, third as q", "third as p, half as q"), {"a:A"}) == {"a:A"}


def test_a_folder_without_an_init_file_is_a_package_too(write):
    """Whether or not its modules are loaded already."""
    lazy = """
    # a.py
    class A:
        def step(self, x):
            from bare.w import half

            return half(x)
    """
    above = """
    # a.py
    import bare.w


    class A:
        def step(self, x):
            return bare.w.half(x)
    """
    own, mine = write(files_of(HALF + lazy), "bare"), write({"__init__": ""} | files_of(above), "above")
    first = own.hash("a:A")
    own.get("a:A")().step(1)
    code.forget()
    assert code_of([own.get("a:A")()]).hash == first
    assert changed(mine, lambda: own.replace("w", "0.5", "0.25"), {"a:A"}) == {"a:A"}
    assert own.hash("a:A") != first


MADE = """
    from dataclasses import dataclass
    from functools import partial


    def half(x, r=1):
        return 0.5 * x


    class Kind:
        r = 0.5


    @dataclass(frozen=True)
    class Holds:
        what: object
        more: object = None


    def local(r=1):
        class Mine:
            def step(self, x):
                return 0.5 * x

        return Mine()


    def closed(r):
        def loss(x):
            return 0.5 * x * r

        return loss


    A_FUNCTION = Holds(half)
    A_CLASS = Holds(Kind)
    A_PARTIAL = Holds(partial(half, r=2))
    SEVERAL = Holds((half, 2.0))
    LOCAL = local()
    CLOSED = closed(2)
    PARTIAL = partial(half, r=2)
    """


def test_what_an_object_holds_counts_whatever_it_is(write):
    """A function, a class, one with settings fixed, several; and the object of a class, or a function, made in a function."""
    held = {"A_FUNCTION", "A_CLASS", "A_PARTIAL", "SEVERAL", "LOCAL", "CLOSED", "PARTIAL"}
    package = write({"__init__": "", "a": MADE}, "made")

    def codes() -> dict[str, str]:
        package.forget()
        return {name: code_of([package.get(f"a:{name}")]).hash for name in held}

    first = codes()
    assert codes() == first, "an address is in it"
    package.path("a").write_text(package.path("a").read_text().replace("0.5", "0.25"))
    now = codes()
    assert {name for name in held if now[name] != first[name]} == held
    package.path("a").write_text(package.path("a").read_text().replace("r=2", "r=3").replace("2.0", "3.0"))
    again = codes()
    assert {name for name in held if again[name] != now[name]} == {"A_PARTIAL", "SEVERAL", "PARTIAL"}


RING = """
    # __init__.py
    # a.py
    from ring import b


    class A:
        def step(self, x):
            return b.other(x)


    def back(x):
        return 0.5 * x
    # b.py
    def other(x):
        from ring.a import back

        return back(x)
    """


def test_modules_that_import_each_other_end(write):
    ring = write(files_of(RING), "ring")
    assert changed(ring, lambda: ring.replace("a", "0.5", "0.25"), {"a:A"}) == {"a:A"}


OWN = {
    "__init__": "",
    "mine": '''
        """A user's own module."""
        from dataclasses import dataclass

        import numpy as np
        import sdebench as sb
        from sdebench._support.errors import UsageError
        from sdebench.catalogue import get_solver
        from sdebench.cli.output import emit
        from sdebench.fit import fit_order
        from sdebench.records import Record
        from sdebench.report import Table
        from sdebench.solvers.ddim import DDIM

        from . import weights


        @dataclass(frozen=True)
        class Mine(sb.Solver):
            order, nfe_per_step = 1, 1

            def step(self, model, x, s, t, past=(), noise=None):
                return sb.Step(weights.half(np.abs(x)))


        class Plain(DDIM):
            pass


        class Looks(DDIM):
            def step(self, model, x, s, t, past=(), noise=None):
                if not Table or not Record or not emit or not fit_order:
                    raise UsageError("no")
                return get_solver("ddim").step(model, x, s, t)
        ''',
    "weights": """
        def half(x):
            return 0.5 * x


        def third(x):
            return 0.25 * x
        """,
    "other": "class Other:\n    r = 0.5",
}


def test_a_user_s_own_module_counts_with_what_it_imports_from_its_own_package(write):
    own, roots = write(OWN, "own"), {"mine:Mine", "other:Other"}
    assert changed(own, lambda: own.replace("weights", "0.5", "0.625"), roots) == {"mine:Mine"}
    assert changed(own, lambda: own.replace("mine", '"""A user\'s own module."""', "# mine"), roots) == set()
    assert changed(own, lambda: own.replace("mine", "np.abs(x)", "np.exp(x)"), roots) == {"mine:Mine"}


def test_of_the_suite_a_user_s_solver_counts_the_classes_that_it_uses_and_of_others_packages_nothing(write):
    own = write(OWN, "own")
    own.forget()
    found = {root: closure(Symbol("own.mine", root)) for root in ("Mine", "Plain", "Looks")}
    for root in found:
        own.get(f"mine:{root}")
    names = {root: {f"{s.module}.{s.name}" for s in symbols} for root, symbols in found.items()}
    assert "own.weights.half" in names["Mine"]
    assert "sdebench.integration.solver.Solver" in names["Mine"]
    assert "sdebench.solvers.ddim.DDIM" in names["Plain"]
    assert "sdebench.solvers.ddim.DDIM" not in names["Mine"]
    assert not [name for name in names["Mine"] if name.startswith(("numpy", "sdebench.__", "sdebench._"))]
    assert "sdebench.fit.fit_order" in names["Looks"]
    looks = ("catalogue", "cli", "records", "report", "_support")
    assert not [name for name in names["Looks"] if name.split(".")[:2] in [["sdebench", look] for look in looks]]


def measured() -> list[str]:
    return [name for name in STUDIES.names() if name != "dummy"]


@pytest.mark.parametrize("study", measured())
def test_no_page_command_or_look_up_is_in_the_code_of_a_study_s_cases(study):
    """Nor a table or a figure of the study itself, nor a solver that it does not run by itself."""
    modules = {s.module for s in closure(code.symbol_of(type(STUDIES.get(study)).measure))}
    assert f"sdebench.studies.{study.replace('-', '_')}" in modules
    for name in ("report", "cli", "engine", "gate", "records", "catalogue", "_support.errors", "_support.registry", "testing"):
        assert not [m for m in modules if f"{m}.".startswith(f"sdebench.{name}.")], name
    assert not [m for m in modules if m.rpartition(".")[2] in ("tables", "figures", "section", "heatmap", "judged", "page")]


def test_the_code_of_a_solver_has_no_other_solver_in_it():
    for name in ("ddim", "heun-edm", "unipc-3", "deis-tab-3"):
        roots, _ = code.roots_of(get_solver(name))
        (home,) = {root.module for root in roots}
        modules = {symbol.module for root in roots for symbol in closure(root)}
        assert {m for m in modules if m.startswith("sdebench.solvers.") and ".shared." not in m} == {home}, name
