"""The contract of a recipe as checks that anyone can run."""
