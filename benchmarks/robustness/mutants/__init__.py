"""Slips of people, made on purpose: see ``__main__``."""
