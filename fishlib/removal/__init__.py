"""Foundation models cut the fish out (paper, sections 3 and 4.2; notebook 02).

In: the manifest. Out: segments/<method>/ of the run, a mask and a row for every photo; table 1's verdicts; and
`fishlib cut`, the same for any photos without a study.
"""
