"""Faults on purpose, and what they cost: `python -m benchmarks.faults` (`make faults`).

A small real model is evaluated by the real command line on tasks that are scored, generated and measured as a text. Each
fault strikes it many times; then the same command is given again, and its files are compared with those of a run that
nothing struck. Three things are counted: answers that were said to be kept and are not (lost), files or numbers that differ
(wrong), and runs that went on with what an earlier process had answered (resumed).
"""
