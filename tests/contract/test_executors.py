"""Every registered method, by every executor, is eager's to rounding; and what cannot be fused says so."""

from functools import partial

import pytest
import torch
from contract import checks_executors as checks

import sdebench as sb
from sdebench._support.errors import UsageError
from sdebench.integration.executors import fused as fusing
from sdebench.integration.executors import native
from sdebench.integration.integrate import integrate
from sdebench.noise import WhiteNoise

ALL = sb.list_solvers()
ADAPTIVE = tuple(name for name in ALL if getattr(sb.get_solver(name), "adaptive", False))
NOT_LINEAR = ("predictor-corrector",)  # its Langevin steps divide by norms
FUSED = tuple(name for name in ALL if name not in (*ADAPTIVE, *NOT_LINEAR))
STOCHASTIC = tuple(name for name in FUSED if sb.get_solver(name).stochastic)
fused = partial(integrate, executor="fused")


@pytest.fixture
def without_a_kernel(monkeypatch):
    """A machine that has no C compiler."""
    monkeypatch.setattr(native, "library", lambda: None)
    assert fusing.arithmetic(checks.X) is fusing.by_torch


# The kind is in the coefficients, which are float64's; the dtype is the kernel's.
@pytest.mark.parametrize(
    ("dtype", "kind"), [(torch.float64, "eps"), (torch.float64, "x0"), (torch.float64, "v"), (torch.float32, "v")]
)
@pytest.mark.parametrize("name", FUSED)
def test_fused_is_eager(name, dtype, kind):
    checks.agrees(fused, sb.get_solver(name), kind, dtype)


@pytest.mark.parametrize("name", STOCHASTIC)
def test_fused_is_eager_on_a_path(name):
    checks.agrees(fused, sb.get_solver(name), path=True, x=checks.X[:2])


@pytest.mark.parametrize("name", FUSED)
def test_fused_is_eager_without_a_compiler(name, without_a_kernel):
    checks.agrees(fused, sb.get_solver(name), "v")


@pytest.mark.parametrize("name", FUSED)
def test_what_is_remembered_does_not_change_with_the_state(name):
    checks.takes_its_argument_back(fused, sb.get_solver(name))


@pytest.mark.parametrize("name", FUSED)
def test_answers_may_lie_anywhere(name):
    checks.answers_elsewhere(fused, sb.get_solver(name))


@pytest.mark.parametrize("name", FUSED)
def test_each_grid_has_its_coefficients(name):
    checks.another_grid(fused, sb.get_solver(name))


@pytest.mark.parametrize("name", ["unipc-3", "unipc-3-lower-final", "lms-4", "sa-solver-p3c4", "dpm-solver-fast", "restart"])
def test_long_runs(name):
    checks.long_runs(fused, sb.get_solver(name))


@pytest.mark.parametrize("executor", ["fused"])
@pytest.mark.parametrize("name", [*ADAPTIVE, *NOT_LINEAR])
def test_what_has_no_plan_says_so(name, executor):
    noise = WhiteNoise(checks.NS, checks.X.shape)
    with pytest.raises(UsageError, match="give executor='eager'") as caught:
        integrate(sb.get_solver(name), checks.PB.model, checks.X, checks.GRID, noise, executor)
    assert "\n" not in str(caught.value)
