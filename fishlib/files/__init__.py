"""How files are read and written: nothing outside this room opens what may come from a stranger.

In: paths. Out: tables, documents and arrays that were checked; files that are whole or not there at all.
"""
