"""Time and memory: against textbook loops, beside other engines, and over cores and ranks."""
