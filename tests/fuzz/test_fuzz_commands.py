"""Commands with options that make no sense, and names that are none."""

from pathlib import Path

from fuzzing import examples, numbers, refuse, survive, texts, workplace
from hypothesis import given
from hypothesis import strategies as st

import sdebench as sb
from sdebench import grids
from sdebench.networks.features import get_features
from sdebench.networks.problem import device_of, dtype_of

_FID = [
    *("--model", "--solvers", "--nfe", "--samples", "--grid", "--features", "--inception", "--data", "--dtype", "--device"),
    *("--seed", "--points", "--reference", "--jobs", "--patience", "--out"),
]
_PROFILE = [
    *("--solvers", "--models", "--batch", "--executor", "--dtype", "--device", "--threads", "--grid", "--steps", "--seed"),
    *("--seconds", "--repeats", "--trace", "--out"),
]
OPTIONS = {
    "list": (["--csv"], ["--json"]),
    "run": (
        ["--out", "--jobs", "--backend", "--scheduler", "--patience", "--report", "--accept-code"],
        ["--no-report", "--why", "--json"],
    ),
    "order": (["--problem", "--grid", "--csv", "--plot"], ["--json"]),
    "audit": (["--as", "--claim", "--check", "--patience", "--csv", "--junit"], ["--full", "--json"]),
    "fid": (_FID, ["--json"]),
    "profile": (_PROFILE, ["--compiled", "--json"]),
    "train": (["--out", "--data", "--steps", "--device", "--threads", "--minutes"], ["--resume", "--json"]),
    "check": (["--baseline", "--junit", "--code-quality", "--annotate", "--csv"], ["--fail-on-slower", "--json"]),
    "baseline": (["--out", "--csv"], ["--dry-run", "--json"]),
    "compare": (["--csv"], ["--fail-on-slower", "--json"]),
    "report": (["--out"], ["--single-file"]),
}
plain = st.one_of(texts, texts, numbers.map(str)).filter(lambda text: "\0" not in text and not _has_surrogate(text))
_TINY = 'name = "x"\n[[study]]\nstudy = "floor"\nsolvers = ["ddim"]\ndtypes = ["float32"]\n'
_SAFE = {
    "run": "s.toml",
    "list": "solvers",
    "order": "ddim",
    "audit": "no_such_package:Thing",
    "compare": "a.json",
    "train": "no-such-recipe",
}


def _has_surrogate(text: str) -> bool:
    return any("\ud800" <= c <= "\udfff" for c in text)


@st.composite
def commands(draw):
    name = draw(st.sampled_from(sorted(OPTIONS)))
    with_value, flags = OPTIONS[name]
    arguments = [name, *draw(st.lists(plain, max_size=2))] if draw(st.booleans()) else [name, *filter(None, [_SAFE.get(name)])]
    for option in draw(st.lists(st.sampled_from(with_value), max_size=3)):
        arguments += [option, draw(plain)]
    return [*arguments, *draw(st.lists(st.sampled_from(flags), max_size=2))]


@given(arguments=commands())
@examples(500)
def test_commands(arguments):
    with workplace():
        Path("s.toml").write_text(_TINY)
        survive(*arguments)


@given(spec=texts)
@examples(300)
def test_names(spec):
    """Whatever takes a name says what it knows."""
    for look in (sb.get_solver, sb.get_problem, grids.get, sb.get_network, get_features, dtype_of, device_of):
        refuse(lambda look=look: look(spec))


@given(
    head=st.sampled_from(["ddim-eta", "dpm-solver-2", "restart", "mixture-1d", "karras"]),
    key=texts,
    value=st.one_of(texts, numbers.map(str)),
)
@examples(300)
def test_specs(head, key, value):
    for look in (sb.get_solver, sb.get_problem, grids.get):
        refuse(lambda look=look: look(f"{head}[{key}={value}]"))
        refuse(lambda look=look: look(f"{head}[eta={value},r={value},schedule={key},rho={value}]"))
