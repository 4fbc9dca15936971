"""Two sequences or notebooks, laid beside each other. Pure."""
