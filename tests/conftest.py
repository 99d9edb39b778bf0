"""What all tests share: one thread of torch for each worker of xdist."""

import torch

torch.set_num_threads(1)
