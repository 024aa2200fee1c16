"""`evalkit doctor`: how much a model's scores move, on this machine, with things that should not matter."""
