"""What comes in and what a picture is (paper, section 4.1; notebook 01).

In: a folder with one subfolder of photos a species, maybe decisions about them and true masks.
Out: the manifest, one row for every file; photos, masks and composites as arrays.
"""
