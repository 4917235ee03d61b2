"""Why is every bigeye called another tuna? Filters, a confusion matrix or a map to click, photos, and one in full.

Photos are chosen by the square in their corner, for a tag or to be taken away (see chosen).
"""

import math
from contextlib import contextmanager
from functools import partial
from html import escape

import ipywidgets as w

from fishlib.photos import species
from fishlib.scores import evaluation
from fishlib.show import cases, tags, views
from fishlib.show.widgets import detail
from fishlib.show.widgets.chosen import Chosen
from fishlib.show.widgets.common import STYLE, Shell, keys, or_problem
from fishlib.show.widgets.map_view import MapView

PAGE = 24  # photos at a time
NAMES = [("日本語", "ja"), ("scientific", "scientific"), ("English", "en")]
ANY = 0  # no tag wanted; a menu shows nothing where its value is None
MATRIX, MAP = "confusion matrix", "map of the photos"
SHADES = 5  # of a cell, by its share of the true species' photos


class FailureExplorer(Shell):
    """Photos of a run by species, answer, method, variant and kind of error; a click opens one in full.

    run: a Study or the folder of a finished run. Answers are those given with the run's own masks; another method
    changes outlines, IoU and the kinds of a mask's errors.
    """

    def __init__(self, run):
        super().__init__(run)
        self.page = 0
        self.opened = None  # place in `rows` of the photo shown in full
        self._quiet = False  # while the explorer sets filters itself
        self._matrices = {}  # variant -> names and cells of its matrix
        self._on = None  # the chosen cell
        self._wanted = {"true": None, "named": None, "kind": "any failure", "tag": None, "among": None}
        self.chosen = Chosen(
            self.study, self._mark_chosen, self.refresh, lambda: (self.method.value, self.variant.value)
        )
        self._build_filters()
        self._build_matrix()
        self._build_photos()
        self._build_single()

        self.rows_and_columns = w.HTML("rows: true species (photos asked), columns: answer")
        key = w.HTML(
            "keys: arrows from photo to photo, Enter opens one, x chooses it, Esc goes back, Page Up and Down turn "
            "the page"
        )
        self.map = MapView(self.study, self._meant)
        self.map.colour.observe(lambda _: self._draw_map(), "value")
        self.overview = w.ToggleButtons(options=[MATRIX, MAP])
        self.overview.add_class("fw-overview")
        self.overview.observe(lambda _: self._show_overview(), "value")
        self.left = w.VBox([self.overview, self.matrix, self.rows_and_columns, self.map, key])
        self.left.add_class("fw-left")
        self.body = w.HBox([self.left, self.photos])
        self.body.add_class("fw-body")
        head = w.HTML(f"<style>{STYLE}</style>{views.note(self.study)}")
        self.children = [head, self.filters, self.chosen, self.body, self.single, keys()]
        self.add_class(f"fw-{self.model_id}")
        self._show_overview()
        self.refresh()

    def _build_filters(self) -> None:
        variants = [(cases.label(variant), variant) for variant in cases.variants(self.study)]
        methods = [(views.method_label(self.study, method), method) for method in cases.methods(self.study)]
        self.true = w.Dropdown(description="species")
        self.named = w.Dropdown(description="named as")
        self.kind = w.Dropdown(description="error")
        self.tag = w.Dropdown(description="tag")
        self.variant = w.Dropdown(options=variants or [("Original", "original")], description="variant")
        self.method = w.Dropdown(options=methods, description="masks of")
        self.sort = w.Dropdown(options=list(cases.SORTS), description="first")
        self.names = w.ToggleButtons(options=NAMES)
        self.names.add_class("fw-names")

        self._choices = {"true": self.true, "named": self.named, "kind": self.kind}
        for name, box in self._choices.items():
            box.observe(lambda change, name=name: self._choose(name, change["new"]), "value")
        self.tag.observe(self._choose_tag, "value")
        views_of_them = (self.variant, self.method, self.sort, self.names)
        for box in views_of_them:
            box.observe(lambda _: self.refresh(), "value")
        self.filters = w.HBox([*self._choices.values(), self.tag, *views_of_them])
        self.filters.add_class("fw-filters")

    def _build_matrix(self) -> None:
        self.axes = (w.HTML(), w.HTML(), w.HTML())  # names across, names down, the lines between the cells
        for place, axis in enumerate(self.axes):
            axis.add_class(f"fw-axis{place}")
        self.matrix = w.GridBox()
        self.matrix.add_class("fw-matrix")

    def _build_photos(self) -> None:
        """A page of photos: slots that stay, whose pictures and texts change."""
        self.count, self.images = w.HTML(), w.HTML()
        backward = self._button("◀", partial(self._turn, -1), "fw-turn", "fw-key-PageUp")
        forward = self._button("▶", partial(self._turn, 1), "fw-turn", "fw-key-PageDown")
        every = self._button("all photos", self.reset, "fw-reset")
        choose = self._button("choose all of these", self._choose_all, "fw-choose-all")
        self.pager = w.HBox([backward, self.count, forward, every, choose])
        self.pager.add_class("fw-row")
        self.slots = [self._button("", partial(self._open, i), "fw-photo", f"fw-slot{i}") for i in range(PAGE)]
        self.squares = [self._button("☐", partial(self._toggle, i), "fw-square") for i in range(PAGE)]
        self.places = [w.VBox([*pair]) for pair in zip(self.slots, self.squares, strict=True)]
        for place in self.places:
            place.add_class("fw-place")
        self.grid = w.GridBox(self.places)
        self.grid.add_class("fw-grid")
        self.photos = w.VBox([self.pager, self.images, self.grid])
        self.photos.add_class("fw-photos")

    def _build_single(self) -> None:
        """One photo in full, with the way back and to its neighbours."""
        self.detail = w.HTML()
        self.back = self._button("back to the photos", partial(self._open, None), "fw-back", "fw-key-Escape")
        before = self._button("◀ previous", partial(self._step, -1), "fw-go-1", "fw-key-ArrowLeft")
        after = self._button("next ▶", partial(self._step, 1), "fw-go1", "fw-key-ArrowRight")
        self.choose_it = self._button("", self._toggle_opened, "fw-choose-it", "fw-key-x")
        self.bar = w.HBox([self.back, before, after, self.choose_it])
        self.bar.add_class("fw-row")
        self.single = w.VBox([self.bar, self.detail])
        self.single.add_class("fw-single")

    @staticmethod
    def _button(text: str, do, *classes: str) -> w.Button:
        button = w.Button(description=text)
        for name in ("fw-button", *classes):
            button.add_class(name)
        button.on_click(lambda _: do())
        return button

    def reset(self) -> None:
        """Every photo of the variant, no filter."""
        self.show(true=None, named=None, kind="all", tag=None, among=None)

    def show(self, **wanted) -> None:
        """Set any of the filters true, named (a species or None), kind, tag (None: any) and among (photo_ids, None:
        all)."""
        self._wanted |= wanted
        self.refresh()

    def _choose(self, name: str, value) -> None:
        if not self._quiet:
            self.show(**{name: value or None})

    def _choose_tag(self, change) -> None:
        if not self._quiet:
            self.show(tag=None if change["new"] == ANY else change["new"])

    def _toggle(self, slot: int) -> None:
        """The square of a photo: choose it, or give it up again."""
        self.chosen.toggle(self.rows.photo_id.iloc[self.page * PAGE + slot])

    def _toggle_opened(self) -> None:
        if self.opened is not None:
            self.chosen.toggle(self.rows.photo_id.iloc[self.opened])

    def _choose_all(self) -> None:
        self.chosen.add(self.rows.photo_id.tolist())

    def _mark_chosen(self) -> None:
        """A tick in the square of every chosen photo of the page."""
        shown = self.rows.photo_id.iloc[self.page * PAGE :][:PAGE]
        for square, photo_id in zip(self.squares, shown, strict=False):
            is_chosen = photo_id in self.chosen.ids
            square.description = "☑" if is_chosen else "☐"
            square.tooltip = "give it up (x)" if is_chosen else "choose it (x)"
        if self.opened is not None:
            is_chosen = self.rows.photo_id.iloc[self.opened] in self.chosen.ids
            self.choose_it.description = "☑ chosen (x)" if is_chosen else "☐ choose (x)"

    def _cell(self, true: str, named: str) -> None:
        """A click on the matrix; on the chosen cell, it is given up again."""
        if (self._wanted["true"], self._wanted["named"]) == (true, named):
            self.show(true=None, named=None, kind="any failure", tag=None, among=None)
        else:
            self.show(true=true, named=named, kind="all", tag=None, among=None)

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
        self._draw_map()
        ids = self.rows.photo_id.tolist()
        place = ids.index(opened) if opened in ids else None  # an opened photo stays open if it is still meant
        self._fill((place or 0) // PAGE)
        self._show_photo(place)

    def _label(self, name: str) -> str:
        return species.label(name, self.names.value)

    def _count(self) -> None:
        """Each filter's options with the photos they would leave, the other filters as they are."""
        with self._silence():
            self._count_species("true", "species")
            self._count_species("named", "predicted")
            self._count_tags()
            left = cases.pick(self.table, **self._wanted | {"kind": "all"})
            kinds = [(f"{kind} ({rows.sum()})", kind) for kind, rows in cases.kinds(left).items()]
            self._set(self.kind, kinds, self._wanted["kind"])

    def _count_species(self, name: str, column: str) -> None:
        others = self._wanted | {name: None}
        counts = cases.pick(self.table, **others)[column].value_counts()
        chosen = self._wanted[name]
        found = {species_name for species_name in self.table[column] if species_name}
        if chosen is not None:
            found.add(chosen)  # stays an option where no photo of the variant has it
        options = [(f"any ({counts.sum()})", "")]
        for species_name in species.ordered(found):
            options.append((f"{self._label(species_name)} ({counts.get(species_name, 0)})", species_name))
        self._set(self._choices[name], options, chosen or "")

    def _count_tags(self) -> None:
        left = cases.pick(self.table, **self._wanted | {"tag": None})
        offered = tags.known(self.table["tags"])
        self.chosen.offer(offered)
        chosen = self._wanted["tag"]
        if chosen not in (None, tags.UNTAGGED, *offered):
            offered.append(chosen)  # stays an option when its last photo lost it
        options = [(f"any ({len(left)})", ANY)]
        options += [(f"{tag} ({cases.tagged(left, tag).sum()})", tag) for tag in offered]
        options.append((f"without a tag ({cases.tagged(left, tags.UNTAGGED).sum()})", tags.UNTAGGED))
        self._set(self.tag, options, ANY if chosen is None else chosen)

    @staticmethod
    def _set(box: w.Dropdown, options: list, value) -> None:
        if list(box.options) != options:
            box.options = options
        box.value = value

    def _show_overview(self) -> None:
        """The matrix or the map, over the same photos."""
        is_map = self.overview.value == MAP
        self._draw_map()  # before it is seen: what was drawn may be of other photos
        for part in (self.matrix, self.rows_and_columns):
            part.layout.display = "none" if is_map else None
        self.map.layout.display = None if is_map else "none"

    def _draw_map(self) -> None:
        if self.overview.value == MAP:
            self.map.draw(self.table, self.variant.value, self.names.value, self.rows.photo_id.tolist())

    def _meant(self, photo_ids: list[str]) -> None:
        """Photos meant on the map, and no other filter."""
        self.show(true=None, named=None, kind="all", tag=None, among=photo_ids)

    def _draw_matrix(self) -> None:
        """Cells with photos are buttons, made once a variant; names are two pieces of HTML."""
        asked = self.table.dropna(subset="correct").drop(columns="status")
        if self.variant.value not in self._matrices:
            self._matrices[self.variant.value] = self._cells(asked)
        names, cells = self._matrices[self.variant.value]
        self._name_axes(names, asked.species.value_counts())
        for (true, named), cell in cells.items():
            cell.tooltip = f"{self._label(true)} → {self._label(named)}"
        self._mark(cells.get((self._wanted["true"], self._wanted["named"])))

        children = (*self.axes, *cells.values())
        if self.matrix.children != children:
            self.matrix.children = children
            self.matrix.layout.grid_template_columns = f"max-content repeat({len(names)}, 24px)"
            self.matrix.layout.grid_template_rows = f"max-content repeat({len(names)}, 22px)"

    def _name_axes(self, names: list[str], photos) -> None:
        """The names across and down, and where the classes of `_cells` lie; photos: how many of each were asked."""
        across, down, places = "", "", ""
        for place, name in enumerate(names):
            label = escape(self._label(name))
            across += f"<span>{label}</span>"
            down += f"<span>{label} ({photos.get(name, 0)})</span>"
            line = place + 2  # behind the names, counted from 1
            places += f".fw-r{place} {{ grid-row: {line}; }} .fw-c{place} {{ grid-column: {line}; }} "
        self.axes[0].value = f"<style>{places}</style>{across}"
        self.axes[1].value = down

    def _mark(self, cell: w.Button | None) -> None:
        """Frame the chosen cell, and no other."""
        if self._on:
            self._on.remove_class("fw-on")
        if cell:
            cell.add_class("fw-on")
        self._on = cell

    def _cells(self, asked) -> tuple[list[str], dict[tuple[str, str], w.Button]]:
        """(species of rows and columns, (true, named) -> its button)."""
        if not len(asked):
            return [], {}
        counts = evaluation.confusion(asked)
        names = list(counts)
        cells = {}
        for row, true in enumerate(names):
            photos = counts.loc[true].sum()
            for column, named in enumerate(names):
                n = counts.loc[true, named]
                if not n:
                    continue
                shade = min(SHADES, 1 + int(SHADES * n / photos))
                hue = "fw-right" if true == named else "fw-wrong"
                look = ("fw-cell", hue, f"fw-shade{shade}", f"fw-r{row}", f"fw-c{column}")
                cells[true, named] = self._button(str(n), partial(self._cell, true, named), *look)
        return names, cells

    def _fill(self, page: int) -> None:
        """One page of photos into the slots; photos are the backgrounds of their buttons."""
        pages = max(1, math.ceil(len(self.rows) / PAGE))
        self.page = page % pages
        rows = self.rows.iloc[self.page * PAGE :][:PAGE]
        place = f", page {self.page + 1} of {pages}" if pages > 1 else ""
        of_the_map = ", of the points on the map" if self._wanted["among"] is not None else ""
        self.count.value = f"{len(self.rows)} photos{of_the_map}{place}"
        style = ""
        for i, row in enumerate(rows.itertuples()):
            with self.slots[i].hold_sync():
                self.slots[i].description = "\n".join(views.caption(row, self.names.value))
                self.slots[i].tooltip = row.photo_id
            image = views.source_of(self.study, row.photo_id)
            style += f'.fw-{self.model_id} .fw-slot{i}::before {{ background-image: url("{image}"); }} '
        self.images.value = f"<style>{style}</style>"
        self._mark_chosen()
        shown = tuple(self.places[: len(rows)])
        if self.grid.children != shown:
            self.grid.children = shown

    def _show_photo(self, place: int | None) -> None:
        """One photo in full instead of matrix and grid; None goes back."""
        if place is not None and place >= len(self.rows):
            place = None
        self.opened = place
        if place is not None:
            photo_id = self.rows.photo_id.iloc[place]
            chosen = self.method.value, self.names.value
            self.detail.value = or_problem(detail.photo_detail, self.study, photo_id, *chosen)
            self._mark_chosen()
        self.body.layout.display = None if place is None else "none"
        self.single.layout.display = "none" if place is None else None
