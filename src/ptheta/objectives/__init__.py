"""What "close to the data" means; no model and no optimiser is held here."""
