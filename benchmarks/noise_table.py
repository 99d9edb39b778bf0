"""The JSON files of bench_noise as one table in Markdown: fastest rounds of all files, and the ratios to torch.randn.

python benchmarks/noise_table.py noise-1.json noise-2.json ...
"""

import json
import sys
from pathlib import Path

WHO = ("randn", "white", "path", "torchsde", "k-diffusion")


def fastest(paths):
    """{(shape, steps, weight): {who: (us, normals)}}"""
    table = {}
    for path in paths:
        for bench in json.loads(Path(path).read_text())["benchmarks"]:
            e = bench["extra_info"]
            row = table.setdefault((e["shape"], e["steps"], e["weight"]), {})
            row[e["who"]] = min(row.get(e["who"], (float("inf"), None)), (e["us_per_step"], e["normals_per_step"]))
    return table


def main(paths):
    head = "shape | steps | weight | normals of white | of path | one randn | white | path | torchsde | k-diffusion"
    head += " | white / randn | path / randn"
    print(f"| {head} |\n|---|---:|---{'|---:' * 9}|")
    for (shape, steps, weight), row in fastest(paths).items():
        (all_of_them, count), (white, few), (path, _) = row["randn"], row["white"], row["path"]
        one = all_of_them / count
        us = [one, white, path, *(row.get(who, (None, None))[0] for who in WHO[3:])]
        cells = [f"{v:.0f}" if v else "-" for v in us]
        print(
            "|",
            " | ".join(
                [
                    shape,
                    str(steps),
                    weight,
                    str(few),
                    f"{count:.1f}",
                    *cells,
                    f"{white / one / few:.1f}",
                    f"{path / all_of_them:.1f}",
                ]
            ),
            "|",
        )


if __name__ == "__main__":
    main(sys.argv[1:])
