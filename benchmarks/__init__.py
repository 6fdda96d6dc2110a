"""Measurements: ratios in one interleaved run, with their spread, as JSON lines."""
