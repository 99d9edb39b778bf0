"""How far samples are from data: Frechet and kernel distance, precision and recall, density and coverage, sliced Wasserstein.

All of them take features, (n, d) arrays, and are numpy and scipy alone; only `inception`, which makes features, loads torch.
"""
