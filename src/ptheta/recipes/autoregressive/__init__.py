"""Autoregressive models: one value after the other."""
