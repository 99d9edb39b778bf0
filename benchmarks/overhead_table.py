"""The JSON files of bench_overhead as one table in Markdown: fastest rounds of all files, and the ratio to the fastest peer.

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
    return table


def main(paths):
    print("| shape | method | reading | sdebench | diffusers | k-diffusion | ratio |\n|---|---|---|---:|---:|---:|---:|")
    for (shape, method), row in fastest(paths).items():
        for reading in dict.fromkeys(reading for _, reading in row):
            us = [row.get((who, reading)) for who in ("sdebench", "diffusers", "k-diffusion")]
            peers = [v for v in us[1:] if v]
            cells = [f"{v:.0f}" if v else "-" for v in us] + [f"{us[0] / min(peers):.2f}" if peers else "-"]
            print("|", " | ".join([shape, method, reading, *cells]), "|")


if __name__ == "__main__":
    main(sys.argv[1:])
