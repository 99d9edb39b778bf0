"""What all tests share: one thread of torch for each worker of xdist, and the same examples on every run."""

import torch
from hypothesis import settings

torch.set_num_threads(1)
settings.register_profile("same", derandomize=True, deadline=None, database=None)
settings.load_profile("same")
