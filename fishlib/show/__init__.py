"""Everything that is looked at (every notebook): tables 1 to 4, figures, views, widgets and the report.

In: what the stages left in a run folder. Out: tables/, figures/, report/. No stage imports from here.
"""
