"""Deep generative models behind one interface."""
