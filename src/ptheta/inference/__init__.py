"""Samplers and estimators as functions of a log-density or a denoiser."""
