"""Print the lowest declared versions as pins, for `pip install -c`: of all dependencies and extras but those named.

`python tests/lowest.py torch > lowest.txt` leaves torch as it is installed.
"""

import re
import sys
import tomllib
from collections.abc import Container
from pathlib import Path

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"


def lowest(text: str, free: Container[str] = ()) -> list[str]:
    """`name==minimum` of each requirement in a pyproject.toml; those of `free` and references to own extras are left out."""
    project = tomllib.loads(text)["project"]
    groups = [project["dependencies"], *project.get("optional-dependencies", {}).values()]
    found: dict[str, str] = {}
    for requirement in [r for group in groups for r in group]:
        name, _extras, minimum = re.fullmatch(r"([\w.-]+)(\[[\w,-]+\])?(?:>=([\d.]+))?", requirement).groups()
        if name == project["name"] or name in free:
            continue
        if minimum is None:
            raise ValueError(f"{requirement} declares no minimum: write {name}>=VERSION")
        if found.setdefault(name, minimum) != minimum:
            raise ValueError(f"{name} has two minima, {found[name]} and {minimum}: declare one")
    return [f"{name}=={minimum}" for name, minimum in found.items()]


if __name__ == "__main__":
    print("\n".join(lowest(PYPROJECT.read_text(), sys.argv[1:])))
