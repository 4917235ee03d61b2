"""What a person clicks: the failure explorer, the mask reviewer and the curator, over the views of a run folder.

Every widget is a shell: pictures and numbers come from what the stages left on disk (cases, views), answers go to
disk at once (reviews.csv, curation.csv, tags.csv), and a page that is loaded anew finds them there. ipywidgets' core
widgets, and two small scripts: keys press buttons (keys.js), the map says which points were meant (map.js). Tried in
JupyterLab 4 (`make lab`) with Chromium; Notebook 7, VS Code and Colab are not tried: where no scripts of outputs run,
the mouse does all that keys do, and the map is only looked at.
"""

from fishlib.show.widgets.curator import Curator, hints
from fishlib.show.widgets.explorer import FailureExplorer
from fishlib.show.widgets.reviewer import MaskReviewer, verdicts

__all__ = ["Curator", "FailureExplorer", "MaskReviewer", "hints", "verdicts"]
