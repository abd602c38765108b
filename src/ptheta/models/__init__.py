"""What p_theta is: one file a model."""
