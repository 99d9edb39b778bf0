"""Integrators of other libraries, run as black boxes over the whole span."""
