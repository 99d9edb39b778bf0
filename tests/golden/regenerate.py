"""`python -m tests.golden.regenerate` measures the error constants anew.  Look at the difference before committing it."""

import json

import sdebench as sb

from .figures import FILE, GRID, POINTS, PROBLEM, SEED, STEPS, measured, solvers


def main() -> None:
    run = {"problem": PROBLEM, "grid": GRID, "steps": STEPS, "points": POINTS, "seed": SEED}
    rms = {name: measured(sb.get_solver(name)) for name in solvers()}
    FILE.write_text(json.dumps({"run": run, "rms": rms}, indent=1) + "\n", encoding="utf-8")
    print(f"{FILE.name}: {len(rms)} solvers")


if __name__ == "__main__":
    main()
