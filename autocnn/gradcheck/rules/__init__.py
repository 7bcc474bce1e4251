"""Rules that name the cause of a wrong gradient, one file a family."""
