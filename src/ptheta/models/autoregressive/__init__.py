"""Products of conditionals, in an order."""
