"""Figures with Matplotlib, which no other package imports.

Every function returns a ``matplotlib.figure.Figure``; the caller saves it.
"""
