"""Integrators of other libraries, as black boxes over the whole span.  Importing the package registers them."""

from . import scipy_ode, torchdiffeq_ode  # noqa: F401
