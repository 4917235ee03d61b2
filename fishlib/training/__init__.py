"""How the zoo's tiny checkpoints were trained on drawn fish, and how they were judged.

In: pictures of fishlib.phantom. Out: the files and cards of fishlib.zoo. No study runs this.
"""
