"""Wrong derivatives of real projects, each beside the right one, under every gradient checker."""
