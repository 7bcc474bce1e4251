"""Checks of arguments with many entries: at full size along few directions, the rest on a copy cut
to a small size."""
