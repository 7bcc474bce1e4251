"""Look inside a network: its layers, its intermediate values, and where a number became NaN."""
