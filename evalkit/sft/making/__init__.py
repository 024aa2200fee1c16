"""Training rows made by a model from seed tasks (self-instruct, Wang et al. 2023)."""
