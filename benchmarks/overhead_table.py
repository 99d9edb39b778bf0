"""The JSON files of bench_overhead as tables in Markdown: fastest rounds of all files, and ratios.

python benchmarks/overhead_table.py overhead-1.json overhead-2.json ...
"""

import json
import sys
from pathlib import Path


def fastest(paths):
    """{(shape, method): {(who, reading): us}}"""
    table = {}
    for path in paths:
        for bench in json.loads(Path(path).read_text())["benchmarks"]:
            e = bench["extra_info"]
            row, key = table.setdefault((e["shape"], e["method"]), {}), (e["who"], e["reading"])
            row[key] = min(row.get(key, float("inf")), e["us_per_step"])
            if "us_floor" in e:
                key = "floor", e["reading"]
                row[key] = min(row.get(key, float("inf")), e["us_floor"])
    return table


def line(*cells):
    print("|", " | ".join(f"{c:.3g}" if isinstance(c, float) else c or "-" for c in cells), "|")


def main(paths):
    table = fastest(paths)
    names = "sdebench", "fused", "diffusers", "k-diffusion", "floor"
    line("shape", "method", "reading", *names, "sdebench / peer", "fused / peer", "fused / floor")
    print("|---|---|---" + "|---:" * (len(names) + 3) + "|")
    for (shape, method), row in table.items():
        for reading in dict.fromkeys(reading for who, reading in row if ("normals", reading) not in row):
            us = {who: row.get((who, reading)) for who in names}
            ours, fused, *peers, floor = us.values()
            peer = min(filter(None, peers), default=None)
            ratios = (a / b if a and b else None for a, b in ((ours, peer), (fused, peer), (fused, floor)))
            line(shape, method, reading, *us.values(), *ratios)
    print()
    line("shape", "method", "sdebench", "fused", "the normals alone", "fused / normals")
    print("|---|---" + "|---:" * 4 + "|")
    for (shape, method), row in table.items():
        if ("normals", "x0") in row:
            ours, fused, normals = (row[who, "x0"] for who in ("sdebench", "fused", "normals"))
            line(shape, method, ours, fused, normals, fused / normals)


if __name__ == "__main__":
    main(sys.argv[1:])
