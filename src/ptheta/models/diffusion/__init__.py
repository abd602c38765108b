"""Denoisers and scores over noise levels."""
