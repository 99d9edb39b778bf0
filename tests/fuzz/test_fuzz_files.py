"""Files of others, spoilt in every way: results, baselines, histories, suites and recipes."""

import json
from pathlib import Path

import pytest
from fuzzing import examples, refuse, spoilt, survive, text_of, toml_of, torn, workplace
from hypothesis import given
from hypothesis import strategies as st

import sdebench as sb
from sdebench.gate import figures
from sdebench.records import read
from sdebench.report import sort_out

RESULTS = Path(__file__).parents[2] / "results"


def first_of(name: str, n: int = 2) -> list[dict]:
    return [json.loads(line) for line in (RESULTS / name).read_text().splitlines()[:n]]


RECORDS = {
    name: first_of(f"{name}.jsonl")
    for name in (
        "orders",
        "stochastic",
        "floor",
        "law",
        "family",
        "work-precision",
        "score-matching",
        "survey",
        "profile",
        "digits",
    )
}


@given(data=st.data(), name=st.sampled_from(sorted(RECORDS)))
@examples(200)
def test_records(data, name):
    """A record of any study with things in it replaced is told in a line, or its section is made, or it is left out."""
    with workplace():
        records = [data.draw(spoilt(record)) for record in RECORDS[name][:1]] + RECORDS[name][1:]
        Path("r.jsonl").write_bytes(b"".join(text_of(record) + b"\n" for record in records))
        found = refuse(lambda: read("r.jsonl"))
        if isinstance(found, list):
            kept, odd = sort_out(found)
            assert len(kept) + len(odd) == len(found)
        refuse(lambda: sb.load_results("r.jsonl", orders=True))


@given(data=st.data(), name=st.sampled_from(sorted(RECORDS)))
@examples(40)
def test_pages(data, name):
    """The same with all figures: a page of the others, or one line."""
    with workplace():
        records = [data.draw(spoilt(record)) for record in RECORDS[name][:1]] + RECORDS[name][1:]
        Path("r.jsonl").write_bytes(b"".join(text_of(record) + b"\n" for record in records))
        status, _, _ = survive("report", "r.jsonl", "--out", "page")
        assert status in (0, 2)


@given(data=st.data())
@examples(60)
def test_results_that_are_torn(data):
    whole = b"".join(text_of(record) + b"\n" for record in RECORDS["floor"])
    with workplace():
        Path("r.jsonl").write_bytes(data.draw(torn(whole)))
        survive("report", "r.jsonl", "--out", "page")
        before = Path("r.jsonl").read_bytes()
        Path("s.toml").write_text('name = "x"\n[[study]]\nstudy = "floor"\nsolvers = ["ddim"]\n')
        status, _, _ = survive("run", "s.toml", "--out", "r.jsonl", "--no-report", "--jobs", "1")
        if status == 2:
            assert Path("r.jsonl").read_bytes() == before


@given(data=st.data())
@examples(150)
def test_baselines(data, ddim):
    entry = {group: dict(list(rows.items())[:3]) for group, rows in ddim.items()} | {
        "times": {"machine": "x", "ratios": [1.0] * 3}
    }
    content = {"setting": figures.SETTING, "solvers": {"ddim": entry}}
    with workplace():
        Path("b.json").write_bytes(data.draw(torn(text_of(data.draw(spoilt(content))))))
        before = Path("b.json").read_bytes()
        status, _, err = survive("check", "--baseline", "b.json", "--junit", "j.xml", "--code-quality", "q.json")
        assert status or "1 solver compared" in err
        status, _, _ = survive("baseline", "ddim", "--out", "b.json")
        if status == 2:
            assert Path("b.json").read_bytes() == before


HISTORY = {
    "machine_info": {"cpu": {"brand_raw": "X", "count": 4}, "system": "Linux", "machine": "x86_64", "python_version": "3.12.3"},
    "benchmarks": [{"name": "a", "fullname": "t::a", "stats": {"median": 1e-3, "rounds": 5, "data": [1e-3] * 5}}],
    "datetime": "2026-01-01T00:00:00",
    "version": "5.1.0",
}


@given(data=st.data())
@examples(150)
def test_histories(data):
    with workplace():
        Path("a.json").write_bytes(text_of(data.draw(spoilt(HISTORY))))
        Path("b.json").write_bytes(data.draw(torn(text_of(HISTORY))))
        status, _, err = survive("compare", "a.json", "b.json", "--fail-on-slower")
        assert status or "1 benchmarks compared" in err
        survive("compare", ".", "--json")


SUITE = {
    "name": "x",
    "study": [
        {"study": "order", "problems": ["mixture-1d"], "solvers": ["ddim", "heun-edm"], "grids": ["uniform_lam"], "points": 8}
    ],
}
TABLES = {
    "work-precision": {"budgets": [4, 8], "points": 8, "seed": 0},
    "law": {"budgets": [4], "problems": ["gaussian"]},
    "floor": {"dtypes": ["float32"], "points": 8, "grid": "karras"},
    "family": {"kinds": ["amount"], "etas": [0.0, 1.0], "budgets": [8], "steps": 64, "points": 4},
    "score-matching": {"kinds": ["trace"], "losses": ["sliced"], "probes": ["normal"], "seeds": [0], "sizes": [64], "steps": 2},
    "quality": {"models": ["digits"], "budgets": [5], "samples": 20, "chunk": 10, "kinds": ["data"], "dtypes": ["float32"]},
    "profile": {
        "models": ["null"],
        "batches": [1],
        "executors": ["eager"],
        "steps": 4,
        "seconds": 0.1,
        "repeats": 1,
        "threads": 1,
    },
    "survey": {"statements": ["e1"]},
}


@given(data=st.data(), study=st.sampled_from(["order", *TABLES]))
@examples(200)
def test_suites(data, study):
    table = SUITE["study"][0] if study == "order" else {"study": study, "solvers": ["ddim"]} | TABLES[study]
    with workplace():
        content = toml_of(data.draw(spoilt(SUITE | {"study": [table]})) or {})
        Path("s.toml").write_bytes(data.draw(torn(content.encode("utf-8", "replace"))))
        survive("run", "s.toml", "--no-report", "--jobs", "1")
        assert not {path.name for path in Path().iterdir()} - {
            "README.md",
            "notes.txt",
            "tables",
            "mine.jsonl",
            "s.toml",
            "results",
        }


RECIPE = {
    "task": "classifier",
    "data": "digits",
    "batch": 8,
    "steps": 2,
    "rate": 1e-3,
    "warmup": 0,
    "cooldown": 0,
    "ema": 0.9,
    "seed": 0,
    "shifts": 1,
    "network": {"channels": [8], "features": 4},
}
UNET = {
    "sample_size": 8,
    "in_channels": 1,
    "out_channels": 1,
    "block_out_channels": [8, 8],
    "layers_per_block": 1,
    "down_block_types": ["DownBlock2D", "DownBlock2D"],
    "up_block_types": ["UpBlock2D", "UpBlock2D"],
    "norm_num_groups": 4,
}
DENOISER = RECIPE | {"task": "denoiser", "lams": [-5.0, 5.0], "time_scale": 20.0, "clip": 1.0, "kind": "v", "network": UNET}


@pytest.mark.parametrize("recipe", [RECIPE, DENOISER], ids=["classifier", "denoiser"])
@given(data=st.data())
@examples(50)
def test_recipes(data, recipe):
    with workplace():
        plain = data.draw(spoilt(recipe))
        content = toml_of({k: v for k, v in plain.items() if k != "network"} if isinstance(plain, dict) else {})
        if isinstance(plain, dict) and isinstance(plain.get("network"), dict):
            content += "[network]\n" + toml_of(plain["network"])
        Path("r.toml").write_bytes(
            data.draw(torn(content.encode("utf-8", "replace"))) if data.draw(st.booleans()) else content.encode()
        )
        survive("train", "r.toml", "--out", "run", "--threads", "1", "--steps", "2")
