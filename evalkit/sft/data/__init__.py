"""Training rows: read, understood, described, cleaned, split and mixed."""
