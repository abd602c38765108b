"""Figures in comparable units, sample quality, the rating and its report."""
