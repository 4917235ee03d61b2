"""Faults on purpose: `python -m faults [--short] [PART ...]` kills, fills disks, changes files; what was lost?

Each part runs a command undisturbed once, then again and again with one fault, then to its end, and compares the bytes.
"""
