"""Figures. Matplotlib is imported here and nowhere else; every function returns a Figure and
leaves saving to the caller.
"""
