"""Solvers, one file a paper.  Importing the package registers them, in the order of the listing."""

from . import runge_kutta, edm, ddim, dpm_solver, dpm_solver_pp, pndm, lms, unipc, exponential_rk, composed, started, shipped  # noqa: F401, I001
