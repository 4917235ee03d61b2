"""Public photos of the species, gathered by anyone: licensed, attributed, each observer and day known.

In: names of species, or a list of addresses. Out: the photos tree with attribution.csv, groups.csv, conflicts.csv,
refused.csv and dataset.md (notebook 01 takes the folder as any other).

collect      the whole of it: for every species page after page, photo after photo, until there are enough
names        what was asked for -> species as the services know them
inaturalist  one service: how it names species, and what it lists page by page
gbif         the other service, the same two questions
lists        photos of a table that someone made
client       asks services and hosts of photos: their pace, patience, bounded answers
licences     which licence a text names
picture      a downloaded file -> a small JPEG without metadata, and how it looks
looks        photos that look alike
records      what became of every photo, kept through a kill
tables       attribution, groups, conflicts, refusals
card         dataset.md
common       the shapes these modules hand each other
"""
