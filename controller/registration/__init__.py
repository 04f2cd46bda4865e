"""What Governor registers with the API server, rendered from what is governed. Pure."""
