"""Solvers, one file a paper.  Importing the package registers them, in the order of the listing."""

from . import (  # noqa: I001
    runge_kutta,  # noqa: F401
    edm,  # noqa: F401
    ddim,  # noqa: F401
    dpm_solver,  # noqa: F401
    dpm_solver_pp,  # noqa: F401
    pndm,  # noqa: F401
    lms,  # noqa: F401
    unipc,  # noqa: F401
    exponential_rk,  # noqa: F401
    res,  # noqa: F401
    gradient_estimation,  # noqa: F401
    composed,  # noqa: F401
    started,  # noqa: F401
    shipped,  # noqa: F401
    euler_maruyama,  # noqa: F401
    sde_dpm_solver,  # noqa: F401
    sa_solver,  # noqa: F401
    seeds,  # noqa: F401
    er_sde,  # noqa: F401
    score_sde,  # noqa: F401
    ncsn,  # noqa: F401
    ddpm,  # noqa: F401
    ancestral,  # noqa: F401
    edm_stochastic,  # noqa: F401
    restart,  # noqa: F401
    analytic_dpm,  # noqa: F401
    consistency,  # noqa: F401
)
