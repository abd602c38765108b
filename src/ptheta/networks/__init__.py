"""Deep networks as functions: no probability here."""
