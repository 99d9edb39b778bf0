"""The same drawing in fewer bytes: what matplotlib writes as SVG, said shortly.  No pixel that can be seen changes."""

import hashlib
import re
from collections import Counter
from math import hypot

_FONTS = "'DejaVu Sans', Verdana, sans-serif"
_TAKES = {"M": 2, "L": 2, "Q": 4, "C": 6, "z": 0}  # numbers of each command that matplotlib writes
_USE = re.compile(r'<use xlink:href="#([^"]*)" x="([^"]*)" y="([^"]*)" style="([^"]*)"/>')
_COUNTED = r' id="[A-Za-z0-9]+(\.axis)?_\d+"'  # ids that nothing refers to
_REPEATED = 2  # times that a style must be there to have a name


def _stripped(svg: str) -> str:
    """No comments, no metadata, no unused ids, coordinates to 1/100 point."""
    text = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>|<!DOCTYPE.*?>|<\?xml.*?\?>", "", svg, flags=re.DOTALL)
    text = re.sub(r'="[^"]*"', lambda m: re.sub(r"(\d\.\d\d)\d+", r"\1", m[0]), text)
    text = re.sub(rf' transform="rotate\(-?0 [^"]*\)"|{_COUNTED}', "", text)
    text = text.replace("font-family: 'DejaVu Sans'; ", "")
    text = text.replace("</style>", f"text{{font-family: {_FONTS}}}</style>", 1)
    text = re.sub(r"\s*\n\s*", "\n", text).strip() + "\n"
    for _ in range(3):  # groups of one or none
        text = re.sub(r"<g/>\n|<g>\n</g>\n", "", text)
        text = re.sub(r"<g>\n(<(?:text|path|use)\b[^<]*(?:/>|</text>))\n</g>", r"\1", text)
    return text


def _commands(d: str) -> list[tuple[str, list[int]]]:
    """The commands of a path with their numbers in 1/100 point; none where there is one that is not known."""
    words, found = iter(re.findall(r"[A-Za-z]|[^A-Za-z\s,]+(?:e[-+]?\d+)?", d)), []
    for word in words:
        if word not in _TAKES:
            return []
        found.append((word, [round(100 * float(next(words))) for _ in range(_TAKES[word])]))
    return found


def _numbers(values: list[int]) -> str:
    """Hundredths as numbers, with no more between them than keeps them apart."""
    text = ""
    for value in values:
        one = f"{value / 100:.2f}".rstrip("0").rstrip(".")
        one = one.replace("0.", ".", 1) if one.lstrip("-").startswith("0.") else one
        text += one if not text or one.startswith("-") else f" {one}"
    return text


def _relative(commands: list[tuple[str, list[int]]]) -> str:
    """The path with every point told from the one before it: exact, for all are whole hundredths."""
    out, at, start = [], (0, 0), (0, 0)
    for name, values in commands:
        if name == "z":
            out.append("z")
            at = start
            continue
        moved = [v - at[i % 2] for i, v in enumerate(values)]
        at = (values[-2], values[-1])
        if name == "M":
            out.append(("m" if out else "M") + _numbers(moved))
            start = at
        elif name == "L" and 0 in moved:
            out.append(("v" if moved[0] == 0 else "h") + _numbers([moved[1] or moved[0]]))
        else:
            out.append(name.lower() + _numbers(moved))
    return "".join(out)


def _discs(svg: str) -> dict[str, float]:
    """The radius of every marker that is a disc without an edge, by its id."""
    found = {}
    for name, d in re.findall(r'<path id="([^"]*)" d="([^"]*)"/>', svg):
        ends = [values[-2:] for _, values in _commands(d) if values]
        curved = [command for command, _ in _commands(d)] == ["M", *"C" * 8, "z"]
        if curved and max(abs(hypot(*end) - hypot(*ends[0])) for end in ends) < 3:
            found[name] = hypot(*ends[0]) / 100
    return found


def _markers(svg: str) -> str:
    """Runs of equal markers as one element: of discs, a path of points with round ends; of others, a group."""
    discs, out, lines = _discs(svg), [], svg.split("\n")
    while lines:
        first = _USE.fullmatch(lines[0])
        if not first:
            out.append(lines.pop(0))
            continue
        run = []
        while lines and (one := _USE.fullmatch(lines[0])) and (one[1], one[4]) == (first[1], first[4]):
            run.append(one)
            lines.pop(0)
        colour = re.fullmatch(r"fill: (#\w+)", first[4])
        if colour and first[1] in discs:
            points = "".join(f"M {one[2]} {one[3]} L {one[2]} {one[3]} " for one in run)
            out.append(
                f'<path d="{points}" style="fill: none; stroke: {colour[1]}; '
                f'stroke-width: {2 * discs[first[1]]:.3g}; stroke-linecap: round"/>'
            )
        else:
            uses = [f'<use xlink:href="#{one[1]}" x="{one[2]}" y="{one[3]}"/>' for one in run]
            out += [f'<g style="{first[4]}">', *uses, "</g>"]
    text = "\n".join(out)
    for name in discs:
        if f"#{name}" not in text:
            text = re.sub(rf'<defs>\n<path id="{name}" d="[^"]*"/>\n</defs>\n', "", text)
    return text


def _classes(svg: str, prefix: str) -> str:
    """Styles that come again have a name, in the one style sheet that there is."""
    counts = Counter(re.findall(r' style="([^"]*)"', svg))
    names = {style: f"{prefix}{i:x}" for i, style in enumerate(s for s, n in counts.items() if n >= _REPEATED)}
    sheet = "".join(f".{name}{{{style}}}" for style, name in names.items())
    svg = re.sub(r' style="([^"]*)"', lambda m: f' class="{names[m[1]]}"' if m[1] in names else m[0], svg)
    return svg.replace("</style>", f"{sheet}</style>", 1)


def _ids(svg: str, prefix: str) -> str:
    """Short names of what is referred to, unlike those of other figures."""
    names = {name: f"{prefix}{i:x}" for i, name in enumerate(dict.fromkeys(re.findall(r' id="([^"]+)"', svg)))}
    return re.sub(r'( id="|"#|url\(#)([^")]+)', lambda m: m[1] + names.get(m[2], m[2]), svg)


def compact(svg: bytes, name: str) -> str:
    """The drawing of a figure; `name` makes its ids and classes unlike those of any other on a page."""
    number = int(hashlib.sha256(name.encode()).hexdigest(), 16)
    prefix = "abcdefghijklmnopqrstuvwxyz"[number % 26] + f"{number // 26 % 16**5:05x}"
    text = _markers(_stripped(svg.decode()))
    text = re.sub(r' d="([^"]*)"', lambda m: f' d="{_relative(found)}"' if (found := _commands(m[1])) else m[0], text)
    text = re.sub(r'clip-path="(url[^"]*)" style="([^"]*)"', r'style="\2; clip-path: \1"', text)
    text = re.sub(r'(?<= style=")[^"]*', lambda m: m[0].replace(": ", ":").replace("; ", ";"), text)
    return _ids(_classes(text, prefix), prefix)
