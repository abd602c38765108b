"""Invertible maps of a simple base."""
