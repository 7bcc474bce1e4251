"""Accuracy of the training recipes on real images."""
