"""What an audit costs a configuration, beside its imports: light, and with all checks.

    pytest benchmarks/bench_audit.py --benchmark-timer=time.process_time --benchmark-columns=min

One round audits one sampler, on one thread.
"""

import importlib.util

import pytest
import torch

from sdebench.peers import get_peer
from sdebench.studies.audit.measure import audit, printing_apart

PEERS = (
    "diffusers:DDIMScheduler",
    "diffusers:DPMSolverMultistepScheduler",
    "diffusers:EulerDiscreteScheduler",
    "diffusers:HeunDiscreteScheduler",
    "diffusers:UniPCMultistepScheduler",
    "k_diffusion.sampling:sample_dpmpp_2m",
    "azula.sample:zABSampler",
)


@pytest.mark.parametrize("spec", PEERS)
@pytest.mark.parametrize("full", [False, True], ids=["light", "full"])
def test_audit(benchmark, spec, full):
    if importlib.util.find_spec(spec.partition(":")[0].partition(".")[0]) is None:
        pytest.skip("its package is not installed")
    torch.set_num_threads(1)
    with printing_apart():
        audit(get_peer(spec)[0], full)  # what is imported and kept for a process

        def once():
            return audit(get_peer(spec)[0], full)

        readings = benchmark.pedantic(once, rounds=3)
    benchmark.extra_info["readings"] = len(readings)
