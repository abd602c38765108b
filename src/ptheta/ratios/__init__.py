"""Density ratios and two-sample tests."""
