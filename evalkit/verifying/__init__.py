"""Recomputes a result from its sample log, its data and its model, and says what differs."""
