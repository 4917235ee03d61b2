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
        self.table = None  # of what is drawn, and how it is
        self.how = None
        self.drawn, self.faded = w.HTML(), w.HTML()
        self.colour = w.ToggleButtons(options=[(f"by {name}", name) for name in photo_map.COLOURED_BY])
        self.colour.add_class("fw-colours")
        self.field = w.Text()  # map.js writes into it
        self.field.add_class("fw-meant")
        self.field.layout.display = "none"
        self.field.observe(lambda change: self._read(change["new"]), "value")
        super().__init__([self.colour, self.faded, self.drawn, self.field, script(SCRIPT)])
        for name in ("fw-map", f"fw-{self.model_id}"):
            self.add_class(name)

    def draw(self, table: pd.DataFrame, variant: str, lang: str, among: list[str]) -> None:
        """Draw the photos of cases.table; those that are not among the shown ones fade."""
        how = variant, lang, self.colour.value
        if how != self.how or not table.equals(self.table):
            self.rows, said = photo_map.points(self.study, table, variant)
            self.drawn.value = photo_map.svg(self.study, self.rows, said, self.colour.value, lang)
            self.table, self.how = table, how
        self.faded.value = "" if len(among) == len(table) else self._fading(set(among))

    def _fading(self, among: set[str]) -> str:
        """A style by which all points but those fade: a click then need not draw every point anew."""
        bright = [f'path[data-i="{i}"]' for i, photo_id in enumerate(self.rows["photo_id"]) if photo_id in among]
        points = f".fw-{self.model_id} svg.points"
        shown = f"{points} :is({', '.join(bright)}) {{ opacity: 1; }}" if bright else ""
        return f"<style>{points} path {{ opacity: .13; }} {shown}</style>"

    def _read(self, text: str) -> None:
        """times:i,i,i as map.js writes it: places in `rows`. What else may stand there means nothing."""
        _, _, numbers = text.partition(":")
        places = [int(number) for number in numbers.split(",") if number.isdecimal()]
        found = [self.rows["photo_id"].iloc[place] for place in places if place < len(self.rows)]
        if found:
            self.meant(found)
