"""Time and memory: against textbook loops, PyTorch and JAX, and over cores and ranks."""
