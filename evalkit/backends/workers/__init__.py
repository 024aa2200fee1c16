"""The built-in engine in several processes, on one machine or many."""
