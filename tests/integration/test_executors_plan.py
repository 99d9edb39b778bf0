"""Plans say what is moved and where it lies; the kernel in C; what is refused.  (That it is eager's: tests/contract.)"""

import os
import stat
import weakref
from dataclasses import dataclass, replace

import pytest
import torch

import sdebench as sb
from sdebench._support.errors import UsageError
from sdebench.integration.executors import fused as fusing
from sdebench.integration.executors import native
from sdebench.integration.executors.plan import Combination, plan
from sdebench.integration.integrate import integrate
from sdebench.integration.prediction import Model, lincomb
from sdebench.integration.solver import Solver, Step, StochasticSolver
from sdebench.noise import WhiteNoise

NS = sb.schedules.VPLinear()
GRID = sb.grids.irregular(NS, 0.9, 0.05, 8)
X = torch.linspace(-2, 2, 3 * 5, dtype=torch.float64).reshape(3, 5)
MODEL = Model(lambda x, t: (x * 0.9).tanh() + t, NS, "x0")


def planned(name, kind="x0", grid=GRID):
    return plan(sb.get_solver(name), NS, grid, kind)


# ----------------------------------------------------------------------------------------------------------------- plans


def test_ddim_is_one_combination_a_step_in_place():
    """x <- a x + c m: one buffer, and one answer that is dropped once it is read."""
    made = planned("ddim", "eps")
    a = NS.alpha(GRID[1]) / NS.alpha(GRID[0])
    c = NS.sigma(GRID[1]) - a * NS.sigma(GRID[0])
    start, answer = made.start, made.passes[0].answer
    (first,) = made.passes[1].combinations
    assert first.out == 0
    assert dict(first.terms) == pytest.approx({start: a, answer: c}, rel=1e-13)
    assert (made.buffers, made.places, len(made.passes)) == (1, 3, 9)
    (second,) = made.passes[2].combinations
    assert [place for place, _ in second.terms] == [0, made.passes[1].answer]
    assert made.passes[2].dropped == (made.passes[1].answer,)


@pytest.mark.parametrize(
    ("name", "kind", "reads", "writes"),
    [
        ("ddim", "eps", 2, 1),
        ("ddim", "x0", 2, 1),  # the conversion is in the coefficients
        ("dpm-solver++-2m", "x0", 3, 1),
        ("dpm-solver++-3m", "x0", 4, 1),
        ("dpm-solver++-3m", "eps", 4, 2),  # x0 = c x + d eps is kept for two more steps
        ("heun-edm", "eps", 5, 2),
        ("heun-edm", "v", 5, 2),
        ("unipc-3", "x0", 5, 2),  # corrected and predicted states in one pass
        ("sde-dpm-solver++-3m", "x0", 5, 1),
    ],
)
def test_what_a_step_moves(name, kind, reads, writes):
    """Vectors that a step reads and writes, once started: n + 4 steps against n."""
    long, short = (planned(name, kind, sb.grids.irregular(NS, 0.9, 0.05, n)).traffic for n in (12, 8))
    assert ((long[0] - short[0]) / 4, (long[1] - short[1]) / 4) == (reads, writes)


@pytest.mark.parametrize("name", [n for n in sb.list_solvers() if n != "predictor-corrector" and n != "analytic-dpm"])
def test_lines_and_places_do_not_grow_with_the_run(name):
    if getattr(sb.get_solver(name), "adaptive", False):
        pytest.skip("it has no plan")
    long, short = (planned(name, "eps", sb.grids.irregular(NS, 0.9, 0.05, n)) for n in (40, 20))
    longest = [max(len(c.terms) for p in made.passes for c in p.combinations) for made in (long, short)]
    assert longest[0] == longest[1] <= 12
    assert (long.places, long.buffers) == (short.places, short.buffers)


def test_coefficients_in_the_code():
    """Words of 64 bits: how many combinations, then place, number of terms, and (place, bits of a float64) of each."""
    made = planned("unipc-3")
    for p, words in zip(made.passes, made.code):
        assert words[0] == len(p.combinations)
        at = 1
        for c in p.combinations:
            assert tuple(words[at : at + 2]) == (c.out, len(c.terms))
            pairs = words[at + 2 : at + 2 + 2 * len(c.terms)]
            assert tuple(pairs[::2]) == tuple(place for place, _ in c.terms)
            assert tuple(memoryview(pairs).cast("B").cast("d")[1::2]) == tuple(a for _, a in c.terms)
            at += 2 + 2 * len(c.terms)
        assert at == len(words)


def test_a_plan_is_remembered_where_the_method_is_a_value():
    assert planned("unipc-3") is planned("unipc-3")
    assert planned("unipc-3") is not planned("unipc-3", grid=GRID[:-1])
    assert planned("unipc-3") is not planned("unipc-3", "eps")

    class Mutable(Solver):
        order, nfe_per_step, c = 1, 1, 1.0

        def step(self, model, x, s, t, past=(), noise=None):
            return Step(lincomb(self.c, x, 0.5, model(x, s).x0))

    solver = Mutable()
    for solver.c in (1.0, 2.0):
        assert torch.allclose(integrate(solver, MODEL, X, GRID, executor="fused"), integrate(solver, MODEL, X, GRID))

    @dataclass(frozen=True)
    class Unhashable(Mutable):
        weights: list

        def step(self, model, x, s, t, past=(), noise=None):
            return Step(lincomb(self.weights[0], x, 0.5, model(x, s).x0))

    solver = Unhashable([1.0])
    for solver.weights[0] in (1.0, 2.0):
        assert torch.allclose(integrate(solver, MODEL, X, GRID, executor="fused"), integrate(solver, MODEL, X, GRID))


def test_arithmetic_on_vectors_and_odd_ends():
    """A step that is written with operators, asks twice for one noise, leaves an answer unread; states from outside."""

    class Mine(StochasticSolver):
        weak_order, nfe_per_step = 1, 3

        def step(self, model, x, s, t, past=(), noise=None):
            m, z = model(x, s).x0, [noise.fresh(t) for _ in range(2)]
            noise.fresh(t, 1), model(z[0], t)  # nobody reads them
            y = 2 * ((x - m) / 4 + z[0]) - -z[1] + 0
            return Step(sum([y, 0.0 * model(m, t).x0, y / 2, 0.0 * z[1]]))

    class Answer(Solver):
        order, nfe_per_step = 1, 1

        def step(self, model, x, s, t, past=(), noise=None):
            return Step(model(x, s).x0)

    class Nothing(Solver):
        order, nfe_per_step = 1, 1

        def step(self, model, x, s, t, past=(), noise=None):
            return Step(x)

    for solver in (Mine(), Answer(), Nothing()):
        noise = WhiteNoise(NS, X.shape)
        got, exact = (integrate(solver, MODEL, X, GRID, noise, executor) for executor in ("fused", "eager"))
        assert torch.allclose(got, exact, rtol=1e-14, atol=1e-14)
        assert got.data_ptr() != X.data_ptr()


# --------------------------------------------------------------------------------------------------------------- running


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_short_floats(dtype):
    """By torch's operations: as far from float64 as eager is."""
    model = Model(lambda x, t: (x * 0.9).tanh() + t, NS, "eps")
    run = lambda dtype, executor: integrate(sb.get_solver("dpm-solver++-3m"), model, X.to(dtype), GRID, None, executor)  # noqa: E731
    eager, fused = ((run(dtype, e) - run(X.dtype, "eager")).abs().max() for e in ("eager", "fused"))
    assert run(dtype, "fused").dtype == dtype
    assert fused <= 2 * eager


@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad, torch.enable_grad])
def test_under_every_mode(mode):
    weight = torch.nn.Parameter(torch.tensor(0.9, dtype=torch.float64))
    model = Model(lambda x, t: (x * weight).tanh(), NS, "x0")
    with mode():
        got = integrate(sb.get_solver("unipc-3"), model, X, GRID, executor="fused")
    assert not got.requires_grad
    assert torch.allclose(got, integrate(sb.get_solver("unipc-3"), model, X, GRID), rtol=1e-14)


def test_states_and_answers_of_any_layout_and_dtype():
    x = torch.linspace(-1, 1, 2 * 3 * 4 * 4, dtype=torch.float64).reshape(2, 3, 4, 4)
    solver, noise = sb.get_solver("sde-dpm-solver++-2m"), WhiteNoise(NS, x.shape, 0, torch.float64)
    for fn in (lambda x, t: x.tanh().to(memory_format=torch.channels_last), lambda x, t: x.tanh().float().double()):
        model = Model(fn, NS, "x0")
        for start in (x, x.to(memory_format=torch.channels_last), x.transpose(2, 3), x[:, :, ::2]):
            at = replace(noise, shape=start.shape)
            got, exact = (integrate(solver, model, start, GRID, at, e) for e in ("fused", "eager"))
            assert torch.allclose(got, exact, rtol=1e-13, atol=1e-13)
    half = Model(lambda x, t: x.tanh().float(), NS, "x0")  # a network in another dtype than the state
    assert integrate(solver, half, x, GRID, noise, "fused").dtype == torch.float64


def test_two_threads_give_the_same_bits():
    x = torch.randn(3, 40_000, generator=torch.Generator().manual_seed(0))
    threads = torch.get_num_threads()
    try:
        states, model = [], Model(lambda x, t: x.clamp(-1, 1), NS, "x0")
        for n in (1, 2):
            torch.set_num_threads(n)
            states.append(integrate(sb.get_solver("unipc-3"), model, x, GRID, executor="fused"))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(*states)


def test_no_more_vectors_than_planned(monkeypatch):
    """Buffers are allocated once a run: whatever the number of steps, `buffers` calls of empty_like."""
    made = []
    empty = torch.empty_like
    monkeypatch.setattr(torch, "empty_like", lambda x: made.append(1) or empty(x))
    for n in (5, 50):
        integrate(sb.get_solver("heun-edm"), MODEL, X, sb.grids.uniform_lam(NS, 0.9, 0.05, n), executor="fused")
    assert len(made) == 4


def test_an_answer_is_let_go_when_nobody_reads_it_again():
    """When the model is asked, DDIM holds no older answer, and the two-step method one."""
    for name, most in (("ddim", 0), ("dpm-solver++-2m", 1), ("dpm-solver++-3m", 2)):
        living: list = []

        def fn(x, t, living=living, most=most):
            assert sum(ref() is not None for ref in living) <= most
            out = x.tanh()
            living.append(weakref.ref(out))
            return out

        integrate(sb.get_solver(name), Model(fn, NS, "x0"), X, GRID, executor="fused")


# --------------------------------------------------------------------------------------------------------------- refusals


def test_what_is_refused():
    ddim = sb.get_solver("ddim")
    with pytest.raises(UsageError, match="unknown executor 'fussed'; did you mean 'fused'"):
        integrate(ddim, MODEL, X, GRID, executor="fussed")
    with pytest.raises(UsageError, match="requires_grad: give executor='eager'"):
        integrate(ddim, MODEL, X.clone().requires_grad_(), GRID, executor="fused")
    with pytest.raises(UsageError, match="chooses its own steps"):
        integrate(sb.get_solver("scipy-rk45"), MODEL, X, GRID, executor="fused")
    with pytest.raises(UsageError, match="needs a state on a CUDA device, this one is on cpu: give executor='fused'"):
        integrate(ddim, MODEL, X, GRID, executor="graph")
    with pytest.raises(UsageError, match="answers on meta"):
        integrate(ddim, Model(lambda x, t: x.to("meta"), NS, "eps"), X, GRID, executor="fused")

    class Wrong(Solver):
        order, nfe_per_step = 1, 1

        def step(self, model, x, s, t, past=(), noise=None):
            return x

    with pytest.raises(UsageError, match=r"return sdebench.Step"):
        integrate(Wrong(), MODEL, X, GRID, executor="fused")


# ------------------------------------------------------------------------------------------------------------- the kernel

needs_a_compiler = pytest.mark.skipif(native.library() is None, reason="no C compiler")


@needs_a_compiler
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("n", [1, 127, 128, 257, 5000])
def test_the_kernel_is_torch(n, dtype):
    """Combinations of 1 to 9 terms, one after the other, with the result in the place of the first term or elsewhere."""
    rng = torch.Generator().manual_seed(n)
    start = [torch.randn(n, dtype=dtype, generator=rng) for _ in range(9)]
    combinations = tuple(
        Combination(out, tuple((v % 9, float(torch.randn((), generator=rng))) for v in range(first, first + k)))
        for out, first, k in ((0, 0, 1), (1, 2, 1), (2, 2, 2), (3, 4, 3), (4, 4, 9), (0, 1, 5))
    )
    made = replace(planned("ddim"), passes=(planned("ddim").passes[0]._replace(combinations=combinations),), places=9)
    results = []
    for arithmetic in (native.native, fusing.by_torch):
        vectors = [v.clone() for v in start]
        arithmetic(made, vectors, vectors[0])[1](0)
        results.append(torch.stack(vectors))
    assert torch.allclose(*results, rtol=0, atol=64 * torch.finfo(dtype).eps)


@pytest.fixture
def cache(monkeypatch, tmp_path):
    """A cache of our own, and `library` as it is when it is first asked."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "sdebench", native.library.__wrapped__


@needs_a_compiler
def test_the_kernel_is_built_once(cache):
    folder, library = cache
    assert library() is not None
    (made,) = folder.iterdir()
    before = made.stat().st_mtime_ns
    assert library() is not None
    assert [*folder.iterdir()] == [made]
    assert made.stat().st_mtime_ns == before


def test_without_a_compiler_that_works_there_is_no_kernel(cache, monkeypatch, tmp_path):
    folder, library = cache
    fails = tmp_path / "fails"
    fails.write_text("#!/bin/sh\necho 'no such option' >&2\nexit 1\n")
    fails.chmod(fails.stat().st_mode | stat.S_IXUSR)
    for compiler in (str(fails), "no-such-compiler", f"{fails} 'of two words"):
        monkeypatch.setenv("CC", compiler)
        assert library() is None
    assert not folder.exists() or not any(folder.iterdir())


@needs_a_compiler
def test_a_compiler_may_have_options(cache, monkeypatch):
    """CC='ccache gcc' and CC='gcc -m64' are usual; another option is another kernel."""
    folder, library = cache
    for made, option in enumerate(("-DONE", "'-DA=two words'"), 1):
        monkeypatch.setenv("CC", f"cc {option}")
        assert library() is not None
        assert len([*folder.iterdir()]) == made
    monkeypatch.setenv("CC", " ")
    assert library() is not None


@needs_a_compiler
@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_cache_that_cannot_be_written(cache, tmp_path):
    tmp_path.chmod(0o500)
    assert cache[1]() is None


@needs_a_compiler
def test_a_damaged_file_in_the_cache_is_built_anew(cache, monkeypatch, tmp_path):
    folder, library = cache
    library()
    (made,) = folder.iterdir()
    other = tmp_path / "other" / "sdebench" / made.name
    other.parent.mkdir(parents=True)
    other.write_bytes(b"not a library")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))
    assert library() is not None
    assert other.stat().st_size == made.stat().st_size
