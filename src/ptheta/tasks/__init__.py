"""What a fitted model is used for."""
