"""Densities up to a constant."""
