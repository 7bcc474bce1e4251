"""Thirty-odd ways of writing the same six layers, right and with five mistakes each."""
