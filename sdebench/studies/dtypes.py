"""The number formats that a study may ask for."""

DTYPES = ("float64", "float32", "bfloat16")  # of a state
NETWORK_DTYPES = (*DTYPES, "float16")  # in which a network is run
