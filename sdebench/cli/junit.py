"""JUnit XML, which every CI host reads: a test case a sampler, which fails where something is wrong with it."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sdebench._support.escape import xml


class Failure(NamedTuple):
    """Why a test case fails: a line, a word for its kind, and all lines."""

    message: str
    kind: str
    lines: Sequence[str]


def junit(command: str, cases: Sequence[str], failures: Mapping[str, Failure]) -> bytes:
    """One suite, called as the command, with those cases."""
    from xml.etree import ElementTree as ET

    counts = {"name": command, "tests": str(len(cases)), "failures": str(len(failures)), "errors": "0"}
    root = ET.Element("testsuites", counts)
    suite = ET.SubElement(root, "testsuite", counts)
    for name in cases:
        case = ET.SubElement(suite, "testcase", classname=command.replace(" ", "."), name=xml(name))
        if name in failures:
            message, kind, lines = failures[name]
            ET.SubElement(case, "failure", message=xml(message), type=kind).text = "\n".join(map(xml, lines))
    ET.indent(root)
    return ET.tostring(root, encoding="utf-8", xml_declaration=True) + b"\n"


def is_junit(content: bytes, command: str) -> bool:
    """Whether a file is what `junit` writes for the command."""
    return f'<testsuites name="{command}"'.encode() in content
