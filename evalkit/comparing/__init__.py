"""Two runs, or more: is the difference real?"""
