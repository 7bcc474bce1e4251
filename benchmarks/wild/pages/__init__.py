"""The pairs, several a page."""
