"""Measurements: speed, accuracy, the gradient checker beside others, and robustness.

README.md in this folder lists the results, each with the command that measures it.
"""
