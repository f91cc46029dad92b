"""Faults that the runs must catch: each is a few lines that change a copy of the source, never the source itself."""
