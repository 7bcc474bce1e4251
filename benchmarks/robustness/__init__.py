"""Robustness: broken input, killed processes, and mutants of the code that tests must catch."""
