"""Why is every bigeye called another tuna? Filters, a confusion matrix to click, photos, and one photo in full."""

from contextlib import contextmanager
from functools import partial
from html import escape

import ipywidgets as w

from fishlib.photos import species
from fishlib.scores import evaluation
from fishlib.show import cases, views
from fishlib.show.widgets import detail
from fishlib.show.widgets.common import STYLE, Shell

PAGE = 24  # photos at a time
NAMES = [("日本語", "ja"), ("scientific", "scientific"), ("English", "en")]
SHADES = 5  # of a cell, by its share of the true species' photos


class FailureExplorer(Shell):
    """Photos of a run by species, answer, method, variant and kind of error; a click opens one in full.

    run: a Study or the folder of a finished run. Answers are those given with the run's own masks; another method
    changes outlines, IoU and the kinds of a mask's errors.
    """

    def __init__(self, run):
        super().__init__(run)
        self.page, self.opened, self._quiet, self._matrices, self._on = 0, None, False, {}, None
        methods = [(views.method_label(self.study, m), m) for m in cases.methods(self.study)]
        variants = [(cases.label(v), v) for v in cases.variants(self.study)] or [("Original", "original")]
        self.true, self.named = w.Dropdown(description="species"), w.Dropdown(description="named as")
        self.kind = w.Dropdown(description="error")
        self.variant = w.Dropdown(options=variants, description="variant")
        self.method = w.Dropdown(options=methods, description="masks of")
        self.sort = w.Dropdown(options=list(cases.SORTS), description="first")
        self.names = w.ToggleButtons(options=NAMES)
        self.names.add_class("fw-names")
        self._filters = {"true": self.true, "named": self.named, "kind": self.kind}
        self._wanted = {"true": None, "named": None, "kind": "any failure"}
        for name, box in self._filters.items():
            box.observe(lambda change, name=name: self._choose(name, change["new"]), "value")
        for box in (self.variant, self.method, self.sort, self.names):
            box.observe(lambda _: self.refresh(), "value")
        self._build()
        self.add_class(f"fw-{self.model_id}")
        self.refresh()

    def _build(self) -> None:
        """The parts that stay: filters, matrix, slots for photos, the opened photo."""
        self.matrix, self.axes = w.GridBox(), (w.HTML(), w.HTML(), w.HTML())
        self.matrix.add_class("fw-matrix")
        for place, axis in enumerate(self.axes):
            axis.add_class(f"fw-axis{place}")
        self.images, self.count, self.detail = w.HTML(), w.HTML(), w.HTML()
        self.slots = [self._button("", partial(self._open, i), "fw-photo", f"fw-slot{i}") for i in range(PAGE)]
        self.grid = w.GridBox(self.slots)
        self.grid.add_class("fw-grid")
        turn = [self._button(text, partial(self._turn, by), "fw-turn") for text, by in (("◀", -1), ("▶", 1))]
        self.pager = w.HBox([turn[0], self.count, turn[1], self._button("all photos", self.reset, "fw-reset")])
        go = (("◀ previous", -1), ("next ▶", 1))
        go = [self._button(text, partial(self._step, by), f"fw-go{by}") for text, by in go]
        self.back = self._button("back to the photos", partial(self._open, None), "fw-back")
        self.bar = w.HBox([self.back, *go])
        self.photos = w.VBox([self.pager, self.images, self.grid])
        self.photos.add_class("fw-photos")
        key = w.HTML("rows: true species (photos asked), columns: answer")
        self.body = w.HBox([w.VBox([self.matrix, key]), self.photos])
        self.single = w.VBox([self.bar, self.detail])
        for box, name in ((self.body, "body"), (self.single, "single"), (self.pager, "row"), (self.bar, "row")):
            box.add_class(f"fw-{name}")
        filters = w.HBox([self.true, self.named, self.kind, self.variant, self.method, self.sort, self.names])
        filters.add_class("fw-filters")
        self.children = [w.HTML(f"<style>{STYLE}</style>{views.note(self.study)}"), filters, self.body, self.single]

    @staticmethod
    def _button(text: str, do, *classes: str) -> w.Button:
        button = w.Button(description=text)
        for name in ("fw-button", *classes):
            button.add_class(name)
        button.on_click(lambda _: do())
        return button

    def reset(self) -> None:
        """Every photo of the variant, no filter."""
        self.show(true=None, named=None, kind="all")

    def show(self, **wanted) -> None:
        """Set any of the filters true, named (a species or None) and kind."""
        self._wanted |= wanted
        self.refresh()

    def _choose(self, name: str, value) -> None:
        if not self._quiet:
            self.show(**{name: value or None})

    def _cell(self, true: str, named: str) -> None:
        """A click on the matrix; on the chosen cell, it is given up again."""
        if (self._wanted["true"], self._wanted["named"]) == (true, named):
            self.show(true=None, named=None, kind="any failure")
        else:
            self.show(true=true, named=named, kind="all")

    def _turn(self, by: int) -> None:
        self._fill(self.page + by)

    def _open(self, slot: int | None) -> None:
        self._show_photo(None if slot is None else self.page * PAGE + slot)

    def _step(self, by: int) -> None:
        if self.opened is not None:
            self._show_photo((self.opened + by) % len(self.rows))

    @contextmanager
    def _silence(self):
        """Options and values that the explorer sets itself are no choices."""
        self._quiet = True
        try:
            yield
        finally:
            self._quiet = False

    def refresh(self) -> None:
        """Read the photos of the choices again, and show them, their counts and the matrix."""
        if self._quiet:
            return
        opened = None if self.opened is None else self.rows.photo_id.iloc[self.opened]
        self.table = cases.table(self.study, self.method.value, self.variant.value)
        self._count()
        self.rows = cases.pick(self.table, **self._wanted, sort=self.sort.value)
        self._draw_matrix()
        ids = self.rows.photo_id.tolist()
        place = ids.index(opened) if opened in ids else None  # an opened photo stays open if it is still meant
        self._fill((place or 0) // PAGE)
        self._show_photo(place)

    def _label(self, name: str) -> str:
        return species.label(name, self.names.value)

    def _count(self) -> None:
        """Each filter's options with the photos they would leave, the other filters as they are."""
        wanted, columns = self._wanted, {"true": "species", "named": "predicted"}
        with self._silence():
            for name, column in columns.items():
                counts = cases.pick(self.table, **wanted | {name: None})[column].value_counts()
                chosen = {n for n in self.table[column] if n} | ({wanted[name]} - {None})
                options = [(f"{self._label(n)} ({counts.get(n, 0)})", n) for n in species.ordered(chosen)]
                self._set(self._filters[name], [(f"any ({counts.sum()})", ""), *options], wanted[name] or "")
            left = cases.pick(self.table, true=wanted["true"], named=wanted["named"])
            kinds = [(f"{kind} ({of.sum()})", kind) for kind, of in cases.kinds(left).items()]
            self._set(self.kind, kinds, wanted["kind"])

    @staticmethod
    def _set(box: w.Dropdown, options: list, value) -> None:
        if list(box.options) != options:
            box.options = options
        box.value = value

    def _draw_matrix(self) -> None:
        """Cells with photos are buttons, made once a variant; names are two pieces of HTML."""
        asked = self.table.dropna(subset="correct").drop(columns="status")
        if self.variant.value not in self._matrices:
            self._matrices[self.variant.value] = self._cells(asked)
        names, cells = self._matrices[self.variant.value]
        sums = asked.species.value_counts()
        across = [f"<span>{escape(self._label(n))}</span>" for n in names]
        down = [f"<span>{escape(self._label(n))} ({sums.get(n, 0)})</span>" for n in names]
        places = [f".fw-r{i} {{ grid-row: {i + 2}; }} .fw-c{i} {{ grid-column: {i + 2}; }}" for i in range(len(names))]
        self.axes[0].value = f"<style>{' '.join(places)}</style>{''.join(across)}"
        self.axes[1].value = "".join(down)
        for (true, named), cell in cells.items():
            cell.tooltip = f"{self._label(true)} → {self._label(named)}"
        if self._on:
            self._on.remove_class("fw-on")
        self._on = cells.get((self._wanted["true"], self._wanted["named"]))
        if self._on:
            self._on.add_class("fw-on")
        if self.matrix.children != (children := (*self.axes, *cells.values())):
            self.matrix.children = children
            self.matrix.layout.grid_template_columns = f"max-content repeat({len(names)}, 24px)"
            self.matrix.layout.grid_template_rows = f"max-content repeat({len(names)}, 22px)"

    def _cells(self, asked) -> tuple[list[str], dict]:
        """(species of rows and columns, (true, named) -> its button)."""
        if not len(asked):
            return [], {}
        counts, cells = evaluation.confusion(asked), {}
        for r, true in enumerate(counts):
            for c, named in enumerate(counts):
                if n := counts.loc[true, named]:
                    shade = min(SHADES, 1 + int(SHADES * n / counts.loc[true].sum()))
                    look = (f"fw-{'right' if true == named else 'wrong'}", f"fw-shade{shade}", f"fw-r{r}", f"fw-c{c}")
                    cells[true, named] = self._button(str(n), partial(self._cell, true, named), "fw-cell", *look)
        return list(counts), cells

    def _fill(self, page: int) -> None:
        """One page of photos into the slots; photos are the backgrounds of their buttons."""
        pages = max(1, -(-len(self.rows) // PAGE))
        self.page = page % pages
        rows = self.rows.iloc[self.page * PAGE :][:PAGE]
        self.count.value = f"{len(self.rows)} photos" + f", page {self.page + 1} of {pages}" * (pages > 1)
        style = []
        for i, row in enumerate(rows.itertuples()):
            with self.slots[i].hold_sync():
                self.slots[i].description = "\n".join(views.caption(row, self.names.value))
                self.slots[i].tooltip = row.photo_id
            image = views.source(views.jpeg(self.study, row.photo_id))
            style.append(f'.fw-{self.model_id} .fw-slot{i}::before {{ background-image: url("{image}"); }}')
        self.images.value = f"<style>{' '.join(style)}</style>"
        if self.grid.children != (shown := tuple(self.slots[: len(rows)])):
            self.grid.children = shown

    def _show_photo(self, place: int | None) -> None:
        """One photo in full instead of matrix and grid; None goes back."""
        self.opened = place if place is not None and place < len(self.rows) else None
        if self.opened is not None:
            photo_id = self.rows.photo_id.iloc[self.opened]
            self.detail.value = detail.photo_detail(self.study, photo_id, self.method.value, self.names.value)
        self.body.layout.display = "none" if self.opened is not None else None
        self.single.layout.display = "none" if self.opened is None else None
