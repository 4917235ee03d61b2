"""What a person does with chosen photos: give them a tag, take one off, save them as a table or a folder."""

from collections.abc import Callable
from html import escape

import ipywidgets as w

from fishlib.errors import UserError
from fishlib.show import selection, tags
from fishlib.show.widgets.common import problem_html
from fishlib.study import Study


class Chosen(w.HBox):
    """The photos chosen so far, `ids` in the order they were chosen, whatever the filters show meanwhile.

    changed: called when the choice is another one; tagged: called when tags are. seen: gives (method, variant) of what
    is looked at, for the table.
    """

    def __init__(self, study: Study, changed: Callable[[], None], tagged: Callable[[], None], seen: Callable):
        self.study, self.changed, self.tagged, self.seen = study, changed, tagged, seen
        self.ids: list[str] = []
        self.count = w.HTML()
        self.tag = w.Combobox(options=list(tags.SUGGESTED), placeholder="tag, such as shadow", ensure_option=False)
        self.name = w.Text("selection", description="save as")
        self.photos_too = w.Checkbox(False, description="photos too", indent=False)
        self.said = w.HTML()
        buttons = {
            "none": ("choose none", self.clear),
            "tag": ("tag them", lambda: self.put(True)),
            "untag": ("take the tag off", lambda: self.put(False)),
            "save": ("save", self.save),
        }
        self.buttons = {name: _button(name, text, do) for name, (text, do) in buttons.items()}
        row = [self.count, self.buttons["none"], self.tag, self.buttons["tag"], self.buttons["untag"]]
        super().__init__([*row, self.name, self.photos_too, self.buttons["save"], self.said])
        self.add_class("fw-row")
        self.add_class("fw-chosen")
        self._show()

    def toggle(self, photo_id: str) -> None:
        """Choose a photo, or give it up again."""
        if photo_id in self.ids:
            self.ids.remove(photo_id)
        else:
            self.ids.append(photo_id)
        self._changed()

    def add(self, photo_ids: list[str]) -> None:
        """Choose all of these as well."""
        self.ids = list(dict.fromkeys([*self.ids, *photo_ids]))
        self._changed()

    def clear(self) -> None:
        self.ids = []
        self._changed()

    def put(self, on: bool) -> None:
        """Give the chosen photos the tag that is entered, or take it off; what cannot be kept is said."""
        if not self.ids:
            self._say(problem_html("Choose photos first: the square in a photo's corner, or x."))
            return
        try:
            tags.put(self.study, self.ids, self.tag.value, on)
        except (UserError, OSError) as error:
            self._say(problem_html(f"Not kept: {error}"))
            return
        self._say(f"{len(self.ids)} photos {'have' if on else 'are without'} the tag {escape(self.tag.value)}")
        self.tagged()

    def save(self) -> None:
        """Export the chosen photos (see selection.export) and say where to."""
        method, variant = self.seen()
        try:
            wanted = {"photos": self.photos_too.value, "method": method, "variant": variant}
            folder = selection.export(self.study, self.ids, self.name.value, **wanted)
        except (UserError, OSError) as error:
            self._say(problem_html(f"Not saved: {error}"))
            return
        place = folder.relative_to(self.study.out.parent).as_posix()
        self._say(f"{len(self.ids)} photos saved in {escape(place)}")

    def offer(self, known: list[str]) -> None:
        """The tags to choose from; any other can be typed."""
        self.tag.options = known

    def _changed(self) -> None:
        self._show()
        self._say("")
        self.changed()

    def _show(self) -> None:
        self.count.value = f"<b>{len(self.ids)}</b> chosen"
        for name in ("none", "save"):
            self.buttons[name].disabled = not self.ids

    def _say(self, html: str) -> None:
        self.said.value = html


def _button(name: str, text: str, do: Callable[[], None]) -> w.Button:
    button = w.Button(description=text)
    button.add_class(f"fw-{name}")
    button.on_click(lambda _: do())
    return button
