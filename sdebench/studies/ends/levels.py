"""The two ends of time, and how near to them the ends study goes."""

ENDS = ("noise", "data")
LEVELS = tuple(2.0**-k for k in range(1, 11))  # alpha/sigma after a first step, sigma/alpha before a last one
