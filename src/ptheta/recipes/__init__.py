"""The named systems, a short function each."""
