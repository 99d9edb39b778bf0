"""What all tests share: one thread for each worker of xdist, and slow tests only where they are asked for."""

import pytest
import torch

torch.set_num_threads(1)


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: minutes long; run with -m slow")


def pytest_collection_modifyitems(config, items):
    if config.option.markexpr:
        return
    slow = [item for item in items if item.get_closest_marker("slow")]
    if slow:
        config.hook.pytest_deselected(items=slow)
        items[:] = [item for item in items if not item.get_closest_marker("slow")]


@pytest.fixture
def allclose():
    """`allclose(a, b, rtol)`: the largest difference is at most rtol times the largest entry of b."""

    def check(a: torch.Tensor, b: torch.Tensor, rtol: float) -> None:
        worst = float((a - b).abs().max() / b.abs().max())
        assert worst <= rtol, f"they differ by {worst:.3g} relative, {rtol:g} is allowed"

    return check
