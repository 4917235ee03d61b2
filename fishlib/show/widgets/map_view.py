"""The map of the photos in the explorer: a click or a drawn box says which photos are meant."""

from collections.abc import Callable
from pathlib import Path

import ipywidgets as w
import pandas as pd

from fishlib.show import photo_map
from fishlib.show.widgets.common import script
from fishlib.study import Study

SCRIPT = Path(__file__).with_name("map.js").read_text(encoding="utf-8")


class MapView(w.VBox):
    """meant: called with the photo_ids of the points that were clicked or boxed."""

    def __init__(self, study: Study, meant: Callable[[list[str]], None]):
        self.study, self.meant = study, meant
        self.rows = pd.DataFrame()
        self.drawn = w.HTML()
        self.colour = w.ToggleButtons(options=[(f"by {name}", name) for name in photo_map.COLOURED_BY])
        self.colour.add_class("fw-colours")
        self.field = w.Text()  # map.js writes into it
        self.field.add_class("fw-meant")
        self.field.layout.display = "none"
        self.field.observe(lambda change: self._read(change["new"]), "value")
        how = w.HTML("click a point, or draw a box round some: their photos are shown")
        super().__init__([self.colour, how, self.drawn, self.field, script(SCRIPT)])
        self.add_class("fw-map")

    def draw(self, table: pd.DataFrame, variant: str, lang: str, among: list[str]) -> None:
        """Draw the photos of cases.table; those that are not among the shown ones fade."""
        self.rows, said = photo_map.points(self.study, table, variant)
        bright = None if len(among) == len(table) else set(among)
        self.drawn.value = photo_map.svg(self.study, self.rows, said, self.colour.value, lang, bright)

    def _read(self, text: str) -> None:
        """times:i,i,i as map.js writes it: places in `rows`. What else may stand there means nothing."""
        _, _, numbers = text.partition(":")
        places = [int(number) for number in numbers.split(",") if number.isdecimal()]
        found = [self.rows["photo_id"].iloc[place] for place in places if place < len(self.rows)]
        if found:
            self.meant(found)
