"""Models whose every quantity is a sum or a table."""
