"""Score and diffusion systems."""
