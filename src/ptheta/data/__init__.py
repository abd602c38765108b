"""Where data comes from: built in, standard, or one's own; and how it meets the reals."""
