"""Solvers, one file a paper.

A file registers its solvers under literal names, and is imported when one of them is asked for.  A new file needs no
entry anywhere; `ORDER` is the order in which solvers are listed, and files that it does not name come last.
"""

ORDER = (
    "runge_kutta",
    "edm",
    "ddim",
    "dpm_solver",
    "dpm_solver_pp",
    "pndm",
    "lms",
    "unipc",
    "exponential_rk",
    "res",
    "gradient_estimation",
    "composed",
    "started",
    "shipped",
    "euler_maruyama",
    "sde_dpm_solver",
    "sa_solver",
    "seeds",
    "er_sde",
    "score_sde",
    "ncsn",
    "ddpm",
    "ancestral",
    "edm_stochastic",
    "restart",
    "analytic_dpm",
    "consistency",
)
