"""Builds our native programs, and runs a local control plane of them."""
