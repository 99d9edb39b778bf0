"""The CUDA executors as far as a CPU can tell: combinations by torch.compile, and runs that are recorded and replayed.

In the place of a CUDA graph stands a tape: the operations of one run with the very tensors that they read and wrote, done again
in their order.  As in a graph, Python does not run again, and what was a number then is the same number now.
"""

import contextlib
import gc
import itertools
from types import SimpleNamespace

import pytest
import torch
from contract import checks_executors as checks
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

import sdebench as sb
from sdebench._support.errors import UsageError
from sdebench.integration.executors import compiled, graph
from sdebench.integration.executors.fused import by_torch, execute, prepared
from sdebench.integration.integrate import integrate
from sdebench.integration.prediction import Model
from sdebench.noise import WhiteNoise
from sdebench.noise.brownian import BrownianPath


class Tape(TorchDispatchMode):
    """Records operations; `replay` does them again on the same tensors."""

    def __init__(self):
        super().__init__()
        self.done = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        self.done.append((func, args, kwargs or {}, out))
        return out

    @torch.inference_mode()  # in which all tensors may be written, as by a device
    def replay(self):
        for func, args, kwargs, out in self.done:
            new = func(*args, **kwargs)
            for old, v in zip(tree_flatten(out)[0], tree_flatten(new)[0]):
                if isinstance(old, torch.Tensor) and old.data_ptr() != v.data_ptr():
                    old.copy_(v)


@pytest.fixture
def captures(monkeypatch):
    """How many runs were captured, on tape."""
    made = []

    def capture(body):
        tape = Tape()
        with tape:
            end = body()
        made.append(tape)
        return tape.replay, end

    monkeypatch.setattr(graph, "capture", capture)
    monkeypatch.setattr(graph, "arithmetic", lambda x: by_torch)
    return made


KIND = Model(lambda x, t: (0.9 * x).tanh() * (1 - t), checks.NS, "v")


METHODS = (
    "ddim",
    "dpm-solver++-3m",
    "unipc-3",
    "heun-edm",
    "dpm-solver-fast",
    "sa-solver-p3c3",
    "restart",
    "srk-additive",
    "seeds-3",
    "edm-stochastic",
)


@pytest.mark.parametrize("name", METHODS)
def test_a_replay_is_eager(name, captures):
    """Of other starts and other noises than the captured one: three runs, one capture."""
    solver = sb.get_solver(name)
    for seed in range(3):
        x, noise = checks.X[seed : seed + 50], WhiteNoise(checks.NS, (50, 2), seed)
        checks.close(graph.replayed(solver, KIND, x, checks.GRID, noise), integrate(solver, KIND, x, checks.GRID, noise))
    assert len(captures) == 1


def test_a_replay_on_a_path(captures):
    solver, x = sb.get_solver("sde-dpm-solver++-2m"), checks.X[:3]
    for seed in range(2):
        path = BrownianPath(checks.NS, checks.GRID, x.shape, seed)
        checks.close(graph.replayed(solver, KIND, x, checks.GRID, path), integrate(solver, KIND, x, checks.GRID, path))


def test_results_are_their_own(captures):
    """A later replay does not change an earlier result, nor the start."""
    solver, (x, y) = sb.get_solver("unipc-3"), (checks.X[:5].clone(), checks.X[5:10])
    first = graph.replayed(solver, KIND, x, checks.GRID, None)
    kept = first.clone()
    graph.replayed(solver, KIND, y, checks.GRID, None)
    assert torch.equal(first, kept)
    assert torch.equal(x, checks.X[:5])


def test_what_is_captured_anew(captures):
    """Another grid, shape, dtype or model; not another start.  Graphs go with their model, and the oldest beyond 8 of it."""
    solver, x = sb.get_solver("ddim"), checks.X[:4]
    run = lambda model=KIND, x=x, grid=checks.GRID: graph.replayed(solver, model, x, grid, None)  # noqa: E731
    other = Model(lambda x, t: x.sin(), checks.NS, "v")
    for arguments in ({}, {"x": x[:2]}, {"x": x.float()}, {"grid": checks.GRID[:-1]}, {"model": other}):
        before = len(captures)
        checks.close(run(**arguments), integrate(**{"solver": solver, "model": KIND, "x": x, "grid": checks.GRID} | arguments))
        run(**arguments)
        assert len(captures) == before + 1 or (not arguments and before == 0)
    for n in range(1, 12):
        run(model=other, x=checks.X[:n])
    assert len(graph._captured[other.fn]) == 8
    fn, watched = other.fn, len(graph._captured)
    del fn, other, arguments
    gc.collect()
    assert len(graph._captured) == watched - 1


def test_weights_that_change_in_place_are_seen(captures):
    weight = torch.tensor(0.5, dtype=torch.float64)
    model, solver, x = Model(lambda x, t: x * weight, checks.NS, "x0"), sb.get_solver("dpm-solver++-2m"), checks.X[:3]
    for value in (0.5, 0.8):
        weight.fill_(value)
        checks.close(graph.replayed(solver, model, x, checks.GRID, None), integrate(solver, model, x, checks.GRID))


def test_a_graph_that_was_captured_in_inference_mode_runs_outside_of_it(captures):
    solver, x = sb.get_solver("ddpm"), checks.X[:4]
    for seed, mode in enumerate((True, False, True)):
        noise = WhiteNoise(checks.NS, x.shape, seed)
        with torch.inference_mode(mode):
            found = graph.replayed(solver, KIND, x, checks.GRID, noise)
        checks.close(found, integrate(solver, KIND, x, checks.GRID, noise))
    assert len(captures) == 1


class Device:
    """torch.cuda, as far as a capture knows it: the current stream, and an end of a capture that fails where its body did."""

    CUDAGraph = SimpleNamespace

    def __init__(self):
        self.now = self.own = SimpleNamespace(wait_stream=lambda other: None)

    def Stream(self):
        return SimpleNamespace(wait_stream=lambda other: None)

    def current_stream(self):
        return self.now

    def set_stream(self, stream):
        self.now = stream

    def stream(self, stream):
        return contextlib.nullcontext()

    @contextlib.contextmanager
    def graph(self, made):
        self.now = "the capture's"
        try:
            yield
        except BaseException:
            raise RuntimeError("operation failed due to a previous error\nduring capture") from None
        self.now = self.own


@pytest.mark.parametrize(("calls", "why"), [(1, "no call 1"), (4, "no call 4")])
def test_a_model_that_cannot_be_captured_says_so(monkeypatch, calls, why):
    """What went wrong in the warm-up, three runs, or in the capture itself; and the stream is the caller's again."""
    device, made = Device(), []
    monkeypatch.setattr(torch, "cuda", device)

    def body():
        made.append(1)
        if len(made) == calls:
            raise RuntimeError(f"no call {calls}\nof many lines")

    with pytest.raises(UsageError, match=rf"^the model cannot be captured as a CUDA graph \({why}\): give executor='fused'$"):
        graph.capture(body)
    assert device.now is device.own


# ------------------------------------------------------------------------------------------- combinations by torch.compile


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_compiled_combinations_are_eager_and_nothing_is_compiled_anew(dtype):
    """A second grid has other coefficients, and no pass of another shape."""
    solver, x, model = sb.get_solver("unipc-3"), checks.X.to(dtype), KIND
    grids = [sb.grids.jitter(checks.NS, *checks.PB.span, 6, seed=seed) for seed in range(3)]

    def run(grid):
        made, ask = prepared(solver, model, x, grid)
        with torch.no_grad():
            return execute(made, ask, x, None, compiled.compiled)

    checks.close(run(grids[0]), integrate(solver, model, x, grids[0]))
    with torch._dynamo.config.patch(error_on_recompile=True):
        for grid in grids[1:]:
            checks.close(run(grid), integrate(solver, model, x, grid))


def test_no_kernel_has_a_second_version(monkeypatch):
    """Of one code torch.compile makes eight versions, and raises for the ninth: sizes and dtypes are codes of their own."""
    made = torch.compile
    monkeypatch.setattr(torch, "compile", lambda fn, **settings: made(fn, backend="eager", **settings))
    compiled.forget()
    solver = sb.get_solver("ddim")
    for dtype, shape in itertools.product((torch.float32, torch.float64), ((3, 2), (5, 2), (5, 1, 2))):
        x = torch.ones(shape, dtype=dtype)
        plan, ask = prepared(solver, KIND, x, checks.GRID)
        with torch._dynamo.config.patch(error_on_recompile=True), torch.no_grad():
            checks.close(execute(plan, ask, x, None, compiled.compiled), integrate(solver, KIND, x, checks.GRID))
    compiled.forget()


def test_shapes_of_passes():
    """Operands by number, in the order of their first use; a result that is read again is the same operand."""
    made = prepared(sb.get_solver("heun-edm"), KIND, checks.X, checks.GRID)[0]
    shapes = {compiled._shape(p)[1] for p in made.passes if p.combinations}
    assert shapes <= {((0, (1, 2)),), ((0, (0, 1, 2)),), ((0, (0, 1)),), ((0, (1, 2, 3)),)}
    rows = compiled._coefficients(made, torch.float64, torch.device("cpu"))
    assert compiled._coefficients(made, torch.float64, torch.device("cpu")) is rows, "a graph reads them where they lie"
    for p, numbers in zip(made.passes, rows):
        assert numbers.tolist() == [a for c in p.combinations for _, a in c.terms]
        assert numbers.data_ptr() % 16 == 0


def test_the_text_of_a_kernel(monkeypatch):
    """Without the compiler the same text gives torch's own result."""
    monkeypatch.setattr(torch, "compile", lambda fn, **settings: fn)
    compiled._kernel.cache_clear()
    for name in ("ddim", "unipc-3", "dpm-solver++-3m", "exprk5s8"):
        solver = sb.get_solver(name)
        made, ask = prepared(solver, KIND, checks.X, checks.GRID)
        checks.close(execute(made, ask, checks.X, None, compiled.compiled), integrate(solver, KIND, checks.X, checks.GRID))
    compiled._kernel.cache_clear()
