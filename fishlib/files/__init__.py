"""How files are read and written: what may come from a stranger is opened in this room only.

In: paths. Out: tables, documents and weights that were checked; files that are whole or not there at all.

paths     what lies inside a folder, and every file of one
frames    tables (CSV): those people make, and our own
documents JSON and YAML
tensors   weights: safetensors and torch files
writing   whole files, kept through a power cut where that was promised
journal   rows kept one by one while a long run goes on
locks     one writer at a time in a folder
progress  how far a stage is, for who waits elsewhere
(photos, the one kind of file that is a picture, are decoded by photos/decode.py)
"""
