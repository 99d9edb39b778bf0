"""A drawing in fewer bytes is the same drawing: every point, every reference, every colour."""

import re
from io import BytesIO
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib import rc_context
from matplotlib.figure import Figure

from sdebench.report import compact, style

RNG = np.random.default_rng(0)
X, Y = RNG.uniform(0, 1, (2, 300))
SVG = "{http://www.w3.org/2000/svg}"


def drawn() -> bytes:
    """A plot as matplotlib writes it: a line, discs, squares, discs with an edge, bars with hatches, text."""
    figure = Figure(figsize=(4, 3))
    ax = figure.subplots()
    ax.plot(X, Y, lw=0.5, color="#0072b2", marker="o", ms=2.5, mew=0)
    ax.plot(X[:50], 1 - Y[:50], ls="", color="#e69f00", marker="s", ms=2.5, mew=0)
    ax.plot(X[:50], Y[:50] / 2, ls="", marker="o", ms=4, mfc="white", mec="#c24e00")
    ax.bar([0, 1], [0.2, 0.3], hatch="//", color="#dedede")
    ax.set_title("a title")
    buffer = BytesIO()
    with rc_context(style.RC | {"svg.hashsalt": "x"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()


RAW = drawn()
SHORT = compact.compact(RAW, "one")


def points(d: str) -> list[tuple[str, tuple[float, float]]]:
    """The command and the end of every piece of a path, absolute or relative, by a reading of its own."""
    words = re.findall(r"[A-Za-z]|-?(?:\d+\.?\d*|\.\d+)", d)
    out, at, start, i = [], np.zeros(2), np.zeros(2), 0
    while i < len(words):
        name, i = words[i], i + 1
        count = {"m": 2, "l": 2, "h": 1, "v": 1, "q": 4, "c": 6, "z": 0}[name.lower()]
        values, i = [float(word) for word in words[i : i + count]], i + count
        if name in "hv":
            end = at + np.array([values[0], 0] if name == "h" else [0, values[0]])
        elif name in "zZ":
            end = start
        else:
            end = np.array(values[-2:]) + (at if name.islower() else 0)
        start, at = (end if name in "mM" else start), end
        out.append((name.lower().replace("h", "l").replace("v", "l"), tuple(end)))
    return out


def paths(svg: str) -> list[str]:
    return re.findall(r' d="([^"]*)"', svg)


def test_every_path_has_the_same_points_as_before():
    """To the 1/100 point to which both are cut; no error adds up over 300 of them."""
    before = [d for d in paths(RAW.decode()) if d.count("L") > 200]
    after = [d for d in paths(SHORT) if len(points(d)) > 200 and d.lower().count("m") == 1]
    (a,), (b,) = before, after
    assert [name for name, _ in points(a)] == [name for name, _ in points(b)]
    np.testing.assert_allclose([p for _, p in points(b)], [p for _, p in points(a)], atol=0.0101)


@pytest.mark.parametrize(
    ("absolute", "relative"),
    [
        ("M 10 10 L 12.5 10 L 12.5 9 L 13 8.75 z", "M10 10h2.5v-1l.5-.25z"),
        ("M 0 0 L 1 1 z M 5 5 L 5 6", "M0 0l1 1zm5 5v1"),
        ("M 1 1 C 2 1 3 2 3 3 Q 4 4 3 5", "M1 1c1 0 2 1 2 2q1 1 0 2"),
        ("M 0 1e-05 L 1.005 -0.5", "M0 0l1-.5"),
    ],
)
def test_points_are_told_from_the_one_before(absolute, relative):
    assert compact._relative(compact._commands(absolute)) == relative


def test_a_path_with_other_commands_stays_as_it_is():
    assert compact._commands("M 0 0 A 1 1 0 0 1 2 2") == []


def test_discs_are_round_points_of_their_size_and_other_markers_are_not():
    root = ElementTree.fromstring(SHORT)
    sheet = dict(re.findall(r"\.(\w+)\{([^}]*)\}", root.find(f".//{SVG}style").text))
    styles = [sheet.get(e.get("class"), e.get("style", "")) for e in root.iter(f"{SVG}path")]
    (found,) = [e for e, s in zip(root.iter(f"{SVG}path"), styles) if "stroke-linecap:round" in s]
    (told,) = [s for s in styles if "stroke-linecap:round" in s]
    assert "stroke:#0072b2" in told
    assert "stroke-width:2.5" in told
    dots = [p for name, p in points(found.get("d")) if name == "m"]
    uses = re.findall(r'<use [^>]*x="([\d.]+)" y="([\d.]+)" style="fill: #0072b2"', RAW.decode())
    np.testing.assert_allclose(dots, np.array(uses, float), atol=0.0101)
    marks = list(root.iter(f"{SVG}use"))
    assert len(marks) >= 100  # squares, and discs with an edge
    assert SHORT.count("xlink:href") == len(marks)


def test_all_that_is_referred_to_is_there_and_has_no_name_of_another_figure():
    other = compact.compact(RAW, "two")
    names = []
    for svg in (SHORT, other):
        ids, classes = set(re.findall(r' id="([^"]*)"', svg)), set(re.findall(r"\.(\w+)\{", svg))
        assert set(re.findall(r'(?:url\(|href=")#([^")]*)', svg)) <= ids
        assert set(re.findall(r' class="([^"]*)"', svg)) == classes
        assert len(classes) > 5
        names.append(ids | classes)
    assert not names[0] & names[1]


def test_what_cuts_a_line_off_at_the_edge_of_its_plot_is_part_of_its_style():
    root = ElementTree.fromstring(SHORT)
    sheet = dict(re.findall(r"\.(\w+)\{([^}]*)\}", root.find(f".//{SVG}style").text))
    (line,) = [e for e in root.iter(f"{SVG}path") if len(e.get("d")) > 1500 and e.get("d").lower().count("m") == 1]
    assert "clip-path:url(#" in sheet.get(line.get("class"), line.get("style", ""))


def test_a_drawing_is_less_than_half_as_large_as_without_comments_and_metadata():
    assert len(SHORT) < 0.5 * len(compact._stripped(RAW.decode()))


def test_markers_of_two_colours_stay_two():
    use = '<use xlink:href="#a" x="{}" y="1" style="fill: {}"/>\n'
    square = '<defs>\n<path id="a" d="M 0 0 L 1 0 L 1 1 z"/>\n</defs>\n'
    text = compact._markers(square + use.format(1, "#111111") + use.format(2, "#111111") + use.format(3, "#222222"))
    assert re.findall(r'<g style="fill: (#\d+)">', text) == ["#111111", "#222222"]
    assert text.count("<use") == 3
