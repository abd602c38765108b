"""Sums and integrals over what is not seen."""
