"""Combinations on the CPU by a kernel in C: one pass over memory a pass of the plan, and one call from Python.

torch has no operation for a sum of many scaled vectors, so that a line of k terms is k passes there, and each costs a
microsecond of calling besides.  The kernel is built once with the C compiler of the machine (`cc`, or $CC) and kept in the
user's cache (`~/.cache/sdebench`, or $XDG_CACHE_HOME); without a compiler `fused` does with torch's operations.
"""

import atexit
import ctypes
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sdebench._support.files import cache, own_folder, private
from sdebench.integration.executors.plan import Plan

SOURCE = r"""
#include <stdint.h>
#include <string.h>
#define PIECE 1024 /* bytes of each vector at a time: vectors often lie alike modulo a page, and share few lines of a cache */
/* pass: how many combinations; of each the place of its result, how many terms, and of each term its place and, as bits, its
   coefficient.  A result may be its own first term.  run: numbers in a vector, threads, then the address at each place. */
#define SUM(E) _Pragma("omp simd") for (int64_t j = 0; j < w; j++) to[j] = E;
#define COMBINE(NAME, T) \
static void NAME##_piece(const int64_t *p, char *const *v, int64_t i, int64_t w) { \
    T sum[PIECE / sizeof(T)], a[5]; \
    const T *y[5]; \
    double c; \
    for (int64_t left = *p++; left; left--) { \
        T *out = (T *)v[*p++] + i; \
        int m = 0; \
        for (int64_t k = *p++; k; k--) { /* five terms at a time in registers, the sum so far among them */ \
            y[m] = (const T *)v[*p++] + i; \
            memcpy(&c, p++, sizeof c); \
            a[m++] = (T)c; \
            if (m < 5 && k > 1) continue; \
            T *to = k > 1 ? sum : out; \
            switch (m) { \
            case 1: SUM(a[0] * y[0][j]) break; \
            case 2: SUM(a[0] * y[0][j] + a[1] * y[1][j]) break; \
            case 3: SUM(a[0] * y[0][j] + a[1] * y[1][j] + a[2] * y[2][j]) break; \
            case 4: SUM(a[0] * y[0][j] + a[1] * y[1][j] + a[2] * y[2][j] + a[3] * y[3][j]) break; \
            case 5: SUM(a[0] * y[0][j] + a[1] * y[1][j] + a[2] * y[2][j] + a[3] * y[3][j] + a[4] * y[4][j]) break; \
            } \
            y[0] = sum; \
            a[0] = 1; \
            m = 1; \
        } \
    } \
} \
static void NAME##_from(const int64_t *pass, const int64_t *run, int64_t i) { \
    const int64_t left = run[0] - i, most = PIECE / sizeof(T); \
    NAME##_piece(pass, (char *const *)(run + 2), i, left < most ? left : most); \
} \
void NAME(const int64_t *pass, const int64_t *run) { \
    const int64_t n = run[0], threads = run[1], step = PIECE / sizeof(T); \
    if (threads == 1 || n < 32 * step) { \
        for (int64_t i = 0; i < n; i += step) NAME##_from(pass, run, i); \
        return; \
    } \
    _Pragma("omp parallel for schedule(static) num_threads((int)threads)") \
    for (int64_t i = 0; i < n; i += step) NAME##_from(pass, run, i); \
}
COMBINE(combine_f32, float)
COMBINE(combine_f64, double)
"""
NAMES = {torch.float32: "combine_f32", torch.float64: "combine_f64"}
_FLAGS = ("-O3", "-march=native", "-fPIC", "-shared")


def _machine() -> str:
    """What the compiled code depends on: a cache may be shared by machines of several kinds."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return platform.machine() + next(line for line in lines if line.startswith(("flags", "Features")))
    except (OSError, StopIteration):
        return platform.platform() + platform.processor()


def _compiler() -> list[str]:
    """The path of the C compiler and the options that $CC has for it, as in CC="gcc -m64"; [] where there is none."""
    try:
        name, *options = shlex.split(os.environ.get("CC", "")) or ["cc"]
    except ValueError:  # a quotation mark that is not closed
        return []
    path = shutil.which(name)
    return [path, *options] if path else []


def _build(compiler: list[str], path: Path) -> None:
    """Compile to `path`, which appears whole or not at all; with threads where the compiler knows OpenMP."""
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        source, made = Path(folder, "combine.c"), Path(folder, "combine.so")
        source.write_text(SOURCE)
        for threads in (["-fopenmp"], ["-fopenmp-simd"], []):
            command = [*compiler, *_FLAGS, *threads, str(source), "-o", str(made)]
            done = subprocess.run(command, capture_output=True, timeout=120)
            if done.returncode == 0:
                made.chmod(0o700)
                made.replace(path)
                return
        raise OSError(done.stderr.decode(errors="replace").strip())


def _folder() -> Path:
    """Where the kernel is kept: the user's cache, if nobody else can put anything there; else a new folder of this process."""
    with suppress(OSError):
        if private(own_folder(cache())):
            return cache()
    made = tempfile.mkdtemp(prefix="sdebench-")
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return Path(made)


def _loaded(compiler: list[str], path: Path) -> ctypes.CDLL:
    """What lies at `path`, built where nothing does, or nothing that can be loaded and that is this user's alone."""
    if path.exists() and (own := private(path)):
        try:
            return ctypes.CDLL(str(own))
        except OSError:  # damaged
            pass
    _build(compiler, path)
    own = private(path)
    if own is None:
        raise OSError(f"{path} can be written by others")
    return ctypes.CDLL(str(own))


@lru_cache
def library() -> ctypes.CDLL | None:
    """The compiled kernel; None where it cannot be built or loaded."""
    compiler = _compiler()
    if not compiler:
        return None
    name = hashlib.sha256("\n".join((SOURCE, *compiler, *_FLAGS, _machine())).encode()).hexdigest()[:16]
    try:
        made = _loaded(compiler, _folder() / f"combine-{name}.so")
    except (OSError, RuntimeError, subprocess.SubprocessError):
        return None
    for kernel in NAMES.values():
        getattr(made, kernel).argtypes = [ctypes.c_void_p] * 2
        getattr(made, kernel).restype = None
    return made


def native(plan: Plan, vectors: list[Any], x: Tensor) -> tuple[Callable[[int, int], None], Callable[[int], None]]:
    """(put, form): `put(place, address)` tells the kernel where a vector lies, `form(i)` makes the combinations of pass i."""
    kernel = getattr(library(), NAMES[x.dtype])
    addresses = (0 if v is None else v.data_ptr() for v in vectors)
    run = (ctypes.c_int64 * (2 + plan.places))(x.numel(), torch.get_num_threads(), *addresses)
    code = [words.buffer_info()[0] for words in plan.code]

    def put(place: int, address: int) -> None:
        run[2 + place] = address

    def form(i: int) -> None:
        kernel(code[i], run)

    form.plan = plan  # type: ignore[attr-defined]  # whose code must stay where it is
    return put, form
