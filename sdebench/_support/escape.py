"""Text of others in a file of a certain kind: each kind has its own characters that do something, and they do nothing here."""

import re
from typing import Any

_NOT_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\uff1d", "\uff0b", "\uff0d", "\uff20")  # the last four in full width
_LATEX = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "&": r"\&",
        "%": r"\%",
        "$": r"\$",
        "#": r"\#",
        "_": r"\_",
        "{": r"\{",
        "}": r"\}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "±": r"$\pm$",
        "✓": r"\checkmark{}",
        "✗": r"$\times$",
        "≤": r"$\leq$",
        "−": "$-$",
        "—": "---",
        "α": r"$\alpha$",
        "β": r"$\beta$",
        "η": r"$\eta$",
        "λ": r"$\lambda$",
        "σ": r"$\sigma$",
        "²": "$^2$",
        "∫": r"$\int$",
        "ρ": r"$\rho$",
        "≈": r"$\approx$",
        "★": r"$\star$",
        "→": r"$\to$",
        "∞": r"$\infty$",
    }
)


def csv(value: Any) -> Any:
    """A cell that a spreadsheet does not run: text that begins as a formula does has an apostrophe before it, a number is one.

    OWASP, "CSV injection"; quotes and commas are the writer's affair.
    """
    if not isinstance(value, str):
        return value
    clean = value.replace("\0", "?")
    return f"'{clean}" if clean.lstrip(" \n").startswith(_FORMULA) else clean


def xml(text: str) -> str:
    """The text without the characters that XML has not."""
    return _NOT_XML.sub("?", text)


def markdown(text: Any) -> str:
    """Text on one line in which nothing is taken for markup: HTML, links, pictures, emphasis, formulas, bars of a table."""
    plain = re.sub(r"([\\`*\[\]|~$]|(?<!\w)_|_(?!\w)|!(?=\[))", r"\\\1", _on_one_line(text))
    plain = re.sub(r"&(?=#?\w+;)", "&amp;", plain)
    return plain.replace("<", "&lt;").replace(">", "&gt;")


def code(text: Any) -> str:
    """Text as code of Markdown, in a table too: with as many backticks about it as it needs."""
    clean = _on_one_line(text).replace("|", "\\|")
    ticks = "`" * (1 + max((len(run) for run in re.findall(r"`+", clean)), default=0))
    space = " " if clean.startswith("`") or clean.endswith("`") else ""
    return f"{ticks}{space}{clean}{space}{ticks}" if clean else ""


def _on_one_line(text: Any) -> str:
    return " ".join(xml(str(text)).split())


def latex(text: Any) -> str:
    """Text that LaTeX prints as it stands."""
    return _on_one_line(text).translate(_LATEX)


def workflow(text: str, more: str = "") -> str:
    """Text in a workflow command of GitHub; `more` are the characters that end a property."""
    return "".join(f"%{ord(c):02X}" if c in "%\r\n" + more else c for c in xml(text))
