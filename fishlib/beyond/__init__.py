"""What a user asks and the paper does not answer: how sure is it, and what would change it (notebook 05).

In: contrasts with their intervals, and what a run knows of its photos, cutters and namers. Out: verdicts in words.
"""
