"""What objects cost, by the PriceBook of the moment. Pure."""
