"""How good an answer is (paper, sections 4.2 and 4.3; every notebook).

In: predictions and masks beside the truth. Out: measures, intervals, tests, and the numbers the paper prints.
"""
