"""The number formats of a state that a study may ask for."""

DTYPES = ("float64", "float32", "bfloat16")
