"""One benchmark a file. Every module-level `Task`, `Group`, or list of them is registered under its name.

To add one, read `piqa.py`: the shortest, with a row and what becomes of it.
"""
