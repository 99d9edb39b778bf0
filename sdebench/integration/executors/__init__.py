"""Executors: who runs a method.  `integrate(..., executor=...)` finds them by name.

eager   the method itself, step by step (`solver.eager`): the reference
fused   its lines, traced once and planned (`trace`, `lines`, `plan`), as few passes over memory (`fused`): by a kernel in C
        on the CPU (`native`), by `torch.compile` on CUDA (`compiled`), by torch's own operations elsewhere
graph   the fused run as one CUDA graph (`graph`)
"""
