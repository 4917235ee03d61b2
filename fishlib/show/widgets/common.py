"""What the widgets share: a shell over a run, and a queue of things to judge, by key or button, with undo."""

import unicodedata
from collections import Counter
from collections.abc import Callable, Hashable
from html import escape
from pathlib import Path

import ipywidgets as w

from fishlib.opening import reopen
from fishlib.study import Study

STYLE = Path(__file__).with_name("widgets.css").read_text(encoding="utf-8")
KEPT_KEYS = 30  # typed letters after which the field is emptied


class Queue:
    """Items in an order and an answer to some of them. `save(item, answer or None)` is called at every change."""

    def __init__(self, items: list[Hashable], answers: dict, save: Callable):
        self.items, self.save, self.place, self.past = items, save, 0, []
        self.answers = {item: answers[item] for item in items if item in answers}
        if self.current in self.answers:
            self._advance()

    @property
    def current(self):
        """The item to judge; None when there is none."""
        return self.items[self.place] if self.items else None

    def answer(self, value) -> None:
        """Answer the current item and go to the next one without an answer, from the end back to the start."""
        if self.current is not None:
            self.past.append((self.place, self.answers.get(self.current)))
            self._set(value)
            self._advance()

    def undo(self) -> bool:
        """Take the last answer back and show its item again; False when there is nothing to take back."""
        if not self.past:
            return False
        self.place, before = self.past.pop()
        self._set(before)
        return True

    def step(self, by: int) -> None:
        """Look at another item without an answer."""
        self.place = (self.place + by) % max(1, len(self.items))

    def _set(self, value) -> None:
        self.save(self.current, value)  # first to disk: an answer that cannot be kept is none
        if value is None:
            self.answers.pop(self.current, None)
        else:
            self.answers[self.current] = value

    def _advance(self) -> None:
        order = [*range(self.place + 1, len(self.items)), *range(self.place)]
        self.place = next((i for i in order if self.items[i] not in self.answers), self.place)


class Shell(w.VBox):
    """A widget over a run: a Study, or the folder of a finished run."""

    def __init__(self, run: Study | str | Path):
        self.study = run if isinstance(run, Study) else reopen(run)
        super().__init__()
        self.add_class("fw")

    def __repr__(self) -> str:  # what a page without a kernel shows in its place
        return f"{type(self).__name__} of {self.study.out.name}: needs a running kernel"


class Judge(Shell):
    """One item after the other with a few answers. A subclass gives `answers` (key -> answer), `queue()` and
    `picture(item)`, HTML; `file` is where the answers go."""

    answers: dict[str, str]
    title = ""

    def __init__(self, run, *controls: w.Widget):
        super().__init__(run)
        self.head, self.shown, self.foot = w.HTML(), w.HTML(), w.HTML()
        self.head.add_class("fw-head")
        self.buttons = {}
        for key, text in {**self.answers, "z": "undo", ",": "previous", ".": "next"}.items():
            self.buttons[key] = w.Button(description=f"{text} ({key})", tooltip=f"key {key}")
            self.buttons[key].add_class(f"fw-{text}")
            self.buttons[key].on_click(lambda _, key=key: self.press(key))
        self.field = w.Text(placeholder=f"type {', '.join(self.answers)} or z here", continuous_update=True)
        self.field.add_class("fw-keys")
        self.field.observe(self._typed, "value")
        self._seen = ""
        rows = [w.HBox(row) for row in ([*self.buttons.values()], [w.Label("by keyboard:"), self.field, *controls])]
        for row in rows:
            row.add_class("fw-row")
        self.children = [w.HTML(f"<style>{STYLE}</style>"), self.head, self.shown, *rows, self.foot]
        self.reload()

    def reload(self) -> None:
        """Read the answers from disk again and show the first item without one."""
        self._queue = self.queue()
        self.refresh()

    def press(self, key: str) -> None:
        """What a button or a letter does; other letters do nothing."""
        if key in self.answers:
            self._queue.answer(self.answers[key])
        elif key == "z":
            self._queue.undo()
        elif key in (",", "."):
            self._queue.step(1 if key == "." else -1)
        else:
            return
        self.refresh()

    def refresh(self) -> None:
        queue = self._queue
        said, done, n = queue.answers.get(queue.current), len(queue.answers), len(queue.items)
        counts = Counter(queue.answers.values())
        parts = [f"{done} of {n} answered", *(f"{a} {counts[a]}" for a in self.answers.values())]
        state = f"you said: <b>{escape(said)}</b>" if said else "no answer yet"
        bar = f'<progress value="{done}" max="{max(1, n)}"></progress>'
        place = f"No. {queue.place + 1}: {state}" if n else "nothing to judge"
        self.head.value = f"<b>{escape(self.title)}</b> {bar} {' · '.join(parts)}<br>{place}"
        self.shown.value = self.picture(queue.current) if n else ""
        self.foot.value = self.extra()

    def extra(self) -> str:
        """What stands at the end: where the answers go."""
        return f"Answers go to {self.file.name} in the run's folder, {escape(self.study.out.name)}."

    def _typed(self, change) -> None:
        """The field is not emptied after each letter: one typed in the meantime would be lost or count twice."""
        text = change["new"]
        new = text[len(self._seen) :] if self._seen and text.startswith(self._seen) else text
        new = "" if self._seen.startswith(text) else new  # letters were deleted
        self._seen = text or self._seen
        for letter in unicodedata.normalize("NFKC", new).lower():  # full-width letters of a Japanese keyboard too
            self.press(letter)
        if len(text) >= KEPT_KEYS:
            self.field.value = ""
