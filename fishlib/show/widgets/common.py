"""What the widgets share: a shell over a run, and a queue of things to judge, by key or button, with undo."""

from collections import Counter
from collections.abc import Callable, Hashable
from html import escape
from pathlib import Path

import ipywidgets as w

from fishlib.errors import UserError
from fishlib.opening import reopen
from fishlib.study import Study

STYLE = Path(__file__).with_name("widgets.css").read_text(encoding="utf-8")
KEYS = Path(__file__).with_name("keys.js").read_text(encoding="utf-8")
MOVES = {"z": "undo", "ArrowLeft": "previous", "ArrowRight": "next"}
SHOWN_KEYS = {"ArrowLeft": "←", "ArrowRight": "→"}


class Queue:
    """Items in an order and an answer to some of them. `save(item, answer or None)` is called at every change."""

    def __init__(self, items: list[Hashable], answers: dict, save: Callable):
        self.items = items
        self.save = save
        self.answers = {item: answers[item] for item in items if item in answers}
        self.place = 0
        self.past = []  # (place, answer before) of every answer given here, for undo
        if self.current in self.answers:
            self._advance()

    @property
    def current(self):
        """The item to judge; None when there is none."""
        return self.items[self.place] if self.items else None

    def answer(self, value) -> None:
        """Answer the current item and go to the next one without an answer, from the end back to the start."""
        if self.current is None:
            return
        before = self.answers.get(self.current)
        self._set(self.place, value)
        self.past.append((self.place, before))
        self._advance()

    def undo(self) -> bool:
        """Take the last answer back and show its item again; False when there is nothing to take back."""
        if not self.past:
            return False
        place, before = self.past[-1]
        self._set(place, before)
        self.place = place
        self.past.pop()
        return True

    def step(self, by: int) -> None:
        """Look at another item without an answer."""
        self.place = (self.place + by) % max(1, len(self.items))

    def _set(self, place: int, value) -> None:
        item = self.items[place]
        self.save(item, value)  # first to disk: an answer that cannot be kept is none
        if value is None:
            self.answers.pop(item, None)
        else:
            self.answers[item] = value

    def _advance(self) -> None:
        order = [*range(self.place + 1, len(self.items)), *range(self.place)]
        self.place = next((i for i in order if self.items[i] not in self.answers), self.place)


def or_problem(make: Callable[..., str], *given) -> str:
    """make(*given), HTML; or the sentence why it cannot be made, so that a damaged file is seen in its place."""
    try:
        return make(*given)
    except (UserError, OSError) as error:
        return problem_html(str(error))


def problem_html(sentence: str) -> str:
    return f'<p class="fw-problem">{escape(sentence)}</p>'


def keys() -> w.Output:
    """A cell of output whose script lets keys press the widget's buttons (see keys.js).

    A front end that runs no scripts of outputs leaves the buttons to the mouse.
    """
    return script(KEYS)


def script(source: str) -> w.Output:
    """A cell of output that runs a script of this package."""
    data = {"application/javascript": source, "text/plain": ""}
    return w.Output(outputs=({"output_type": "display_data", "data": data, "metadata": {}},))


class Shell(w.VBox):
    """A widget over a run: a Study, or the folder of a finished run."""

    def __init__(self, run: Study | str | Path):
        self.study = run if isinstance(run, Study) else reopen(run)
        super().__init__()
        self.add_class("fw")

    def static(self) -> str:
        """HTML that a page without a kernel shows in the widget's place; "" where the notebook has its twin."""
        return ""

    def _repr_mimebundle_(self, **given):
        shown = super()._repr_mimebundle_(**given)
        if shown is not None and self.static():
            shown["text/html"] = self.static()
        return shown

    def __repr__(self) -> str:  # what a page without a kernel shows in its place
        return f"{type(self).__name__} of {self.study.out.name}: needs a running kernel"


class Judge(Shell):
    """One item after the other with a few answers. A subclass gives `answers` (key -> answer), `queue()` and
    `picture(item)`, HTML; `file` is where the answers go."""

    answers: dict[str, str]
    title = ""

    def __init__(self, run, *controls: w.Widget):
        super().__init__(run)
        self.problem = ""  # why the last answer could not be kept
        self.head, self.shown, self.foot = w.HTML(), w.HTML(), w.HTML()
        self.head.add_class("fw-head")
        self.buttons = {key: self._button(key, text) for key, text in {**self.answers, **MOVES}.items()}
        by_mouse = w.HBox([*self.buttons.values()])
        choices = w.HBox([*controls])
        for row in (by_mouse, choices):
            row.add_class("fw-row")
        style = w.HTML(f"<style>{STYLE}</style>")
        # what is pressed stands above what is looked at, so that no picture pushes it off the screen
        self.children = [style, self.head, by_mouse, self.shown, choices, self.foot, keys()]
        self.add_class("fw-judge")
        self.reload()

    def _button(self, key: str, text: str) -> w.Button:
        button = w.Button(description=f"{text} ({SHOWN_KEYS.get(key, key)})")
        for name in (f"fw-{text}", f"fw-key-{key}"):
            button.add_class(name)
        button.on_click(lambda _: self.press(key))
        return button

    def reload(self) -> None:
        """Read the answers from disk again and show the first item without one."""
        self._queue = self.queue()
        self.refresh()

    def press(self, key: str) -> None:
        """What a button or its key does; other keys do nothing. What cannot be kept is said, and is no answer."""
        if key not in self.buttons:
            return
        self.problem = ""
        try:
            self._do(key)
        except (UserError, OSError) as error:
            self.problem = f"Not kept: {error}"
        self.refresh()

    def _do(self, key: str) -> None:
        if key in self.answers:
            self._queue.answer(self.answers[key])
        elif key == "z":
            self._queue.undo()
        else:
            self._queue.step(1 if key == "ArrowRight" else -1)

    def refresh(self) -> None:
        """Show the current item, what was said of it, and how far the answers are."""
        queue = self._queue
        n = len(queue.items)
        self.head.value = self._head(queue, n)
        self.shown.value = or_problem(self.picture, queue.current) if n else ""
        self.foot.value = or_problem(self.extra)

    def _head(self, queue: Queue, n: int) -> str:
        counts = Counter(queue.answers.values())
        bar = f'<progress value="{len(queue.answers)}" max="{max(1, n)}"></progress>'
        done = [f"{len(queue.answers)} of {n} answered", *(f"{a} {counts[a]}" for a in self.answers.values())]
        said = queue.answers.get(queue.current)
        state = f"you said: <b>{escape(said)}</b>" if said else "no answer yet"
        place = f"No. {queue.place + 1}: {state}" if n else "nothing to judge"
        problem = problem_html(self.problem) if self.problem else ""
        how = "keys work anywhere in this frame"
        return f"<b>{escape(self.title)}</b> {bar} {' · '.join(done)}<br>{place} · {how}{problem}"

    def extra(self) -> str:
        """What stands at the end: where the answers go."""
        return f"Answers go to {self.file.name} in the run's folder, {escape(self.study.out.name)}."
