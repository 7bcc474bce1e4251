"""Benchmarks of image files: what ``autocnn predict`` makes of photographs."""
