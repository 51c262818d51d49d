"""The page in the browser: asked texts, the map, the clusters, and a key for each correction.

Texts and names of clusters are shown as text alone; nothing here is HTML that holds one.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from textmetric.errors import UserError, cut, needing, printable
from textmetric.reclustering.actions import Action
from textmetric.reclustering.app.desk import Desk
from textmetric.reclustering.exchange import FORMATS, Format, exported

with needing("the page to correct on", "app"):
    from nicegui import ui
    from nicegui.events import EChartPointClickEventArguments, KeyEventArguments

_STYLE = Path(__file__).with_name("page.css")
_COLOURS = (
    "#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#e08214", "#5e4fa2",
    "#8c6d31", "#35978f", "#d6616b", "#7b8d1f",
)  # fmt: skip
_NO_CLUSTER = "#9a9a9a"
_REASONS = {
    "new group": "nobody has corrected a text of this cluster yet",
    "between two clusters": "between two clusters",
    "likely mistake": "perhaps corrected by mistake",
}
_HELP = (
    ("1 2 3", "it belongs to the cluster with this number"),
    ("r", "it is right where it is"),
    ("n", "it does not belong here"),
    ("c", "it belongs to another cluster, or a new one"),
    ("j  k", "next text, previous text"),
    ("u", "undo the last correction"),
    ("x", "mark the text; then, on another one:"),
    ("s  d", "it belongs together with the marked text; it does not"),
    ("o", "show the cluster of the text"),
    ("e", "rename the cluster that is shown"),
    ("m", "merge it into another one"),
    ("R", "all its texts are right"),
    ("t", "run the next turn"),
    ("?", "show or hide these keys"),
)


class Page:
    """A page that is open in a browser; several may show one desk."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._row = desk.ask[0].row if desk.ask else 0
        self._cluster = ""
        self._marked: int | None = None
        self._on_map = self._places()
        self._drawn: dict[str, str] = {}
        self._palette: dict[str, str] = {}
        self._seen = desk.revision
        self._turns = len(desk.history)
        self._dialog: ui.dialog | None = None
        self._parts: list[tuple[ui.element, Callable[[], None]]] = []
        self._keys: dict[str, Callable[[], object]] = {
            **{str(place): self._to_likeliest(place) for place in (1, 2, 3)},
            "r": self._is_right,
            "n": self._is_not_here,
            "c": self._ask_where,
            "j": lambda: self._step(1),
            "k": lambda: self._step(-1),
            "u": self._undo,
            "x": self._mark,
            "s": lambda: self._link("must"),
            "d": lambda: self._link("cannot"),
            "o": lambda: self._show_cluster(self._desk.clusters[self._row]),
            "e": self._ask_name,
            "m": self._ask_merge,
            "R": self._are_right,
            "t": self._run,
            "?": self._help,
        }
        self._build()

    # what is shown

    def _build(self) -> None:
        ui.add_css(_STYLE)
        ui.keyboard(self._on_key, ignore=["input", "textarea", "select"], repeating=False)
        with ui.element("header").classes("top"):
            ui.label("textmetric recluster").classes("title")
            self._part(self._status)
            ui.element("div").classes("space")
            self._button("Undo", "u")
            self._button("Next turn", "t").props("unelevated color=primary")
            with ui.button("Export", icon="arrow_drop_down").props("flat dense no-caps"), ui.menu():
                for form in FORMATS:
                    ui.menu_item(form, lambda form=form: self._export(form))
            self._button("Keys", "?")
        self._bar = ui.linear_progress(show_value=False, size="4px").props("instant-feedback")
        with ui.element("div").classes("panes"):
            with ui.element("section").classes("pane"):
                self._part(self._text)
                self._part(self._queue)
            with ui.element("section").classes("pane"):
                self._chart = ui.echart(self._drawing(), on_point_click=self._on_point)
                self._part(self._typical)
            with ui.element("section").classes("pane clusters"):
                search = ui.input(placeholder="find a cluster").props("dense clearable")
                self._table = self._clusters()
                search.on_value_change(lambda event: self._table.set_filter(event.value or ""))
        ui.timer(0.3, self._poll)
        self._progress()

    def _part(self, build: Callable[[], None]) -> None:
        """What :meth:`_refresh` builds again."""
        with ui.element("div").classes("part") as box:
            build()
        self._parts.append((box, build))

    def _button(self, label: str, key: str) -> ui.button:
        with ui.button(on_click=self._keys[key]).props("flat dense no-caps") as button:
            ui.label(label)
            ui.label(key).classes("key")
        return button

    def _status(self) -> None:
        desk = self._desk
        parts = [f"{len(desk.texts):,} texts", f"{len(desk.sizes):,} clusters",
                 f"{desk.corrected:,} corrected"]  # fmt: skip
        if desk.history:
            last = desk.history[-1]
            parts.append(f"turn {last['turn']} moved {last['moved']:,}")
            if last["held_out"] is not None:
                before, after = last["held_out"]["ari"]
                parts.append(f"ARI on hidden corrections {before:.2f} → {after:.2f}")
        ui.label(" · ".join(parts)).classes("status")

    def _text(self) -> None:
        desk, row = self._desk, self._row
        asked = next((each for each in desk.ask if each.row == row), None)
        with ui.element("article").classes("card"):
            with ui.element("div").classes("about"):
                ui.label(f"text {desk.numbers[row]}")
                if asked is not None:
                    ui.label(_REASONS[asked.reason]).classes("reason")
                if self._marked is not None:
                    marked = self._marked
                    ui.label("marked" if marked == row else f"marked: text {desk.numbers[marked]}")
            ui.label(printable(desk.texts[row])).classes("text")
            with ui.element("div").classes("where"):
                self._dot(desk.clusters[row])
                here = desk.clusters[row]
                ui.label(printable(here) if here else "in no cluster").classes("name")
                if desk.labels[row]:
                    ui.label("corrected").classes("said")
            with ui.element("div").classes("choices"):
                for place, name in enumerate(desk.likeliest(row), start=1):
                    self._choice(str(place), name, self._keys[str(place)], self._colour(name))
                if here:
                    self._choice("r", "right here", self._is_right)
                    self._choice("n", "not here", self._is_not_here)
                self._choice("c", "another, or a new one", self._ask_where)

    def _choice(
        self, key: str, label: str, act: Callable[[], object], colour: str | None = None
    ) -> None:
        button = (
            ui.button(on_click=act, color=None)
            .props("outline no-caps align=left")
            .classes("choice")
        )
        with button:
            ui.label(key).classes("key")
            if colour is not None:
                ui.element("span").classes("dot").style(f"background: {colour}")
            ui.label(printable(label)).classes("name")

    def _dot(self, name: str) -> None:
        ui.element("span").classes("dot").style(f"background: {self._colour(name)}")

    def _queue(self) -> None:
        desk = self._desk
        done = sum(self._is_done(each.row) for each in desk.ask)
        ui.label(f"Asked about: {done} of {len(desk.ask)} answered").classes("heading")
        with ui.element("div").classes("list"):
            for each in desk.ask:
                self._item(each.row, done=self._is_done(each.row))

    def _item(self, row: int, *, done: bool) -> None:
        item = ui.element("div").classes("item").on("click", lambda: self._go(row))
        if row == self._row:
            item.classes("here")
        with item:
            ui.label("✓" if done else "").classes("done")
            self._dot(self._desk.clusters[row])
            ui.label(printable(self._desk.texts[row])).classes("line")

    def _typical(self) -> None:
        desk, name = self._desk, self._cluster
        if not name:
            ui.label("Choose a cluster, or a point of the map.").classes("hint")
            return
        with ui.element("div").classes("heading"):
            self._dot(name)
            ui.label(printable(name)).classes("name")
            ui.element("div").classes("space")
            self._button("Rename", "e")
            self._button("Merge", "m")
            self._button("Right", "R")
        with ui.element("div").classes("list"):
            for row in desk.typical(name):
                self._item(row, done=desk.labels[row] == name)

    def _clusters(self) -> ui.table:
        columns = [
            {"name": "name", "label": "cluster", "field": "shown", "align": "left",
             "sortable": True},
            {"name": "texts", "label": "texts", "field": "texts", "sortable": True},
            {"name": "said", "label": "corrected", "field": "said", "sortable": True},
        ]  # fmt: skip
        table = ui.table(columns=columns, rows=self._cluster_rows(), row_key="name", pagination=0)
        table.props("dense flat hide-bottom virtual-scroll")
        table.add_slot(
            "body-cell-name",
            '<q-td :props="props"><div class="where"><span class="dot" '
            ':style="{background: props.row.colour}"></span>{{ props.value }}</div></q-td>',
        )
        table.on("rowClick", lambda event: self._show_cluster(str(event.args[1]["name"])))
        return table

    def _cluster_rows(self) -> list[dict[str, Any]]:
        said: dict[str, int] = {}
        for name in self._desk.labels:
            said[name] = said.get(name, 0) + 1
        return [
            {"name": name, "shown": cut(printable(name)), "texts": texts,
             "said": said.get(name, 0), "colour": self._colour(name)}
            for name, texts in self._desk.sizes.items()
        ]  # fmt: skip

    def _colour(self, name: str) -> str:
        """The colour of a cluster, which it keeps as long as the page is open."""
        if not self._palette:
            for each in self._desk.journal.said.names:
                self._palette[each] = _COLOURS[len(self._palette) % len(_COLOURS)]
        new = _COLOURS[len(self._palette) % len(_COLOURS)]
        return self._palette.setdefault(name, new) if name else _NO_CLUSTER

    # the map

    def _drawing(self) -> dict[str, Any]:
        axis = {"show": False, "scale": True}
        return {
            "grid": {"left": 8, "right": 8, "top": 8, "bottom": 8},
            "xAxis": axis,
            "yAxis": axis,
            "dataZoom": [{"type": "inside", "xAxisIndex": 0}, {"type": "inside", "yAxisIndex": 0}],
            # rich text, not HTML
            "tooltip": {"renderMode": "richText", "formatter": "{b}", "confine": True},
            "series": [
                {"type": "scatter", "animation": False, "symbolSize": size, "silent": silent}
                | series
                for size, silent, series in zip(
                    (6, 7, 9, 16), (False, True, True, True), self._series(), strict=True
                )
            ],
        }

    def _series(self, *, points: bool = True) -> list[dict[str, Any]]:
        """Moved texts, the cluster that is shown, the text that is shown; and perhaps all texts."""
        desk = self._desk
        said = desk.journal.said
        start, renamed = said.start, said.renamed
        edge = {"color": self._colour(self._cluster), "borderColor": "#111", "borderWidth": 1}
        ring = {"color": "transparent", "borderColor": "#111", "borderWidth": 2.5}
        moved, cluster, here = [], [], []
        for row, place in self._on_map:
            name = desk.clusters[row]
            if name != renamed.get(start[row], ""):
                moved.append({"value": place[:2], "itemStyle": {"color": self._colour(name)}})
            if self._cluster and name == self._cluster:
                cluster.append({"value": place[:2], "itemStyle": edge})
            if row == self._row:
                here.append({"value": place[:2], "itemStyle": ring})
        series: list[dict[str, Any]] = [
            {"id": "moved", "data": moved},
            {"id": "cluster", "data": cluster},
            {"id": "here", "data": here},
        ]
        return [{"id": "texts", "data": self._points()}, *series] if points else series

    def _points(self) -> list[dict[str, Any]]:
        """All texts on the map, in the clusters of the last turn."""
        said = self._desk.journal.said
        start, self._drawn = said.start, said.renamed
        styles = {
            name: {"color": self._colour(self._drawn.get(name, "")), "opacity": 0.75}
            for name in {start[row] for row, _ in self._on_map}
        }
        return [
            {"name": text, "value": [x, y], "itemStyle": styles[start[row]]}
            for row, (x, y, text) in self._on_map
        ]

    def _places(self) -> list[tuple[int, tuple[float, float, str]]]:
        """The rows on the map, where they are, and the starts of their texts."""
        desk = self._desk
        return [
            (row, (round(x, 2), round(y, 2), cut(printable(desk.texts[row]), 80)))
            for row, (x, y) in zip(desk.sample.tolist(), desk.places.tolist(), strict=True)
        ]

    def _draw(self) -> None:
        """Draw what has changed on the map."""
        series = self._series(points=self._drawn != self._desk.journal.said.renamed)
        self._chart.run_chart_method("setOption", {"series": series})

    def _on_point(self, event: EChartPointClickEventArguments) -> None:
        row = int(self._desk.sample[event.data_index])
        self._cluster = self._desk.clusters[row]
        self._go(row)

    # what a person does

    def _on_key(self, event: KeyEventArguments) -> None:
        modifiers = event.modifiers
        if not event.action.keydown or modifiers.ctrl or modifiers.alt or modifiers.meta:
            return
        name = str(event.key)
        if self._dialog is not None and self._dialog.value and name != "?":
            return
        if name in self._keys:
            self._keys[name]()

    def _do(self, *actions: Action) -> bool:
        """Write corrections; whether they were accepted. The caller refreshes the page."""
        try:
            news = self._desk.do(*actions)
        except UserError as error:
            self._say(str(error))
            return False
        if not news:
            self._say("that was said already")
        if self._cluster not in self._desk.sizes:
            self._cluster = ""
        return True

    def _undo(self) -> None:
        """Take the last correction back, and show its text again."""
        rows = [row for action in self._desk.journal.said.actions[-1:] for row in action.rows]
        if self._do(Action("undo")):
            self._go(rows[-1] if rows else self._row)

    def _say(self, message: str) -> None:
        ui.notify(printable(message), position="top", timeout=6000, multi_line=True)

    def _correct(self, action: Action) -> None:
        """A correction of the text that is shown; then the next one that is asked about."""
        if self._do(action):
            self._go(self._next_open())

    def _to_likeliest(self, place: int) -> Callable[[], None]:
        def act() -> None:
            names = self._desk.likeliest(self._row)
            if place <= len(names):
                self._correct(Action("move", (self._row,), (names[place - 1],)))

        return act

    def _is_right(self) -> None:
        if here := self._desk.clusters[self._row]:
            self._correct(Action("move", (self._row,), (here,)))

    def _is_not_here(self) -> None:
        if here := self._desk.clusters[self._row]:
            self._correct(Action("not here", (self._row,), (here,)))

    def _are_right(self) -> None:
        if self._cluster and self._do(Action("right", (), (self._cluster,))):
            self._refresh()

    def _mark(self) -> None:
        self._marked = None if self._marked == self._row else self._row
        self._refresh()

    def _link(self, kind: Any) -> None:
        if self._marked is None:
            self._say("mark another text with x first")
        else:
            self._correct(Action(kind, (self._marked, self._row)))

    def _is_done(self, row: int) -> bool:
        return any(row in action.rows for action in self._desk.journal.said.actions)

    def _step(self, by: int) -> None:
        rows = [each.row for each in self._desk.ask]
        if rows:
            now = rows.index(self._row) + by if self._row in rows else 0
            self._go(rows[now % len(rows)])

    def _next_open(self) -> int:
        """The next row that is asked about and not answered, or the same if it was not asked."""
        rows = [each.row for each in self._desk.ask]
        if self._row not in rows:
            return self._row
        now = rows.index(self._row)
        later = [row for row in rows[now + 1 :] + rows[:now] if not self._is_done(row)]
        return later[0] if later else self._row

    def _go(self, row: int) -> None:
        self._row = row
        self._refresh()

    def _show_cluster(self, name: str) -> None:
        self._cluster = name
        self._refresh()

    def _ask_where(self) -> None:
        row = self._row
        self._ask(
            "It belongs to the cluster",
            "",
            lambda name: self._correct(Action("move", (row,), (name,))),
        )

    def _ask_name(self) -> None:
        if old := self._cluster:
            self._ask(f"Rename {cut(printable(old))} to", old, self._to_name("rename", old))

    def _ask_merge(self) -> None:
        if old := self._cluster:
            self._ask(f"Merge {cut(printable(old))} into", "", self._to_name("merge", old))

    def _to_name(self, kind: Literal["rename", "merge"], old: str) -> Callable[[str], None]:
        def act(name: str) -> None:
            if self._do(Action(kind, (), (old, name))):
                self._show_cluster(name)

        return act

    def _ask(self, question: str, value: str, act: Callable[[str], object]) -> None:
        """Ask for the name of a cluster."""
        with (
            ui.dialog(value=True).props("transition-duration=0") as dialog,
            ui.card().classes("question"),
        ):
            ui.label(question)
            name = ui.input(value=value, autocomplete=self._desk.journal.said.names)
            name.props("autofocus outlined dense").classes("wide")

            def answer() -> None:
                dialog.close()
                if name.value and name.value.strip():
                    act(name.value.strip())

            name.on("keydown.enter", answer)
            ui.label("Enter to accept, Tab to complete, Esc to leave it").classes("hint")
        dialog.on("hide", dialog.delete)
        self._dialog = dialog

    def _help(self) -> None:
        if self._dialog is not None and self._dialog.value:
            self._dialog.close()
            return
        with (
            ui.dialog(value=True).props("transition-duration=0") as dialog,
            ui.card().classes("question"),
            ui.element("dl"),
        ):
            for key, meaning in _HELP:
                with ui.element("dt"):
                    ui.label(key).classes("key")
                with ui.element("dd"):
                    ui.label(meaning)
        dialog.on("hide", dialog.delete)
        self._dialog = dialog

    def _export(self, form: Format) -> None:
        for end, content in exported(self._desk.annotated(), form).items():
            ui.download.content(content, f"corrections{end}")

    def _run(self) -> None:
        try:
            self._desk.run()
        except UserError as error:
            self._say(str(error))
        self._progress()

    # what happens elsewhere

    def _poll(self) -> None:
        self._progress()
        if self._seen == self._desk.revision:
            return
        if self._desk.failure:
            self._say(self._desk.failure)
        if self._turns != len(self._desk.history):
            self._turns = len(self._desk.history)
            self._row = self._desk.ask[0].row if self._desk.ask else 0
            self._cluster, self._marked = "", None
            self._on_map, self._drawn = self._places(), {}
        self._refresh()

    def _progress(self) -> None:
        share = self._desk.share
        self._bar.set_value(share or 0.0)
        self._bar.classes(add="busy" if share is not None else "idle",
                          remove="idle" if share is not None else "busy")  # fmt: skip

    def _refresh(self) -> None:
        changed = self._seen != self._desk.revision
        self._seen = self._desk.revision
        for box, build in self._parts:
            box.clear()
            with box:
                build()
        if changed:
            self._table.rows = self._cluster_rows()
        self._draw()
