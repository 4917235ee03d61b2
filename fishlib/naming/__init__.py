"""Networks name the fish (paper, section 4.3; notebook 03 without further training, 04 with K photos a species).

In: the manifest, the segments of one method and a checkpoint. Out: features, predictions.csv, the K-shot sweep.
"""
