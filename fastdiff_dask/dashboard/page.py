"""The live page: a Bokeh document that looks at a `Monitor` once a second."""

import asyncio
import math
import time
from typing import Any

import numpy as np
from bokeh.document import Document
from bokeh.models import ColumnDataSource, DatetimeTickFormatter, Div, HoverTool, InlineStyleSheet, NumeralTickFormatter
from bokeh.plotting import figure
from jinja2 import Environment, PackageLoader

from .monitor import Monitor
from .page_texts import errors_text, found_text, header_text, mean_text, progress_text, workers_text
from .snapshot import Snapshot
from .tile_map import Cells

__all__ = ["make_page"]

_INTERVAL_MS = 1000
_POINTS = 900
_LEAST_SHOWN = 4  # seconds on the axis of a curve: the clock on it has whole ones
_GREY = "#8b919a"  # text and lines of figures: readable on white and on black
_COLOURS = {"pending": "#9aa0a6", "running": "#f28e2b", "part done": "#4c84b0", "done": "#4c84b0"}
# finished tiles with similar pairs, from few to many
_FOUND = ("#1f9e89", "#35b779", "#6ece58", "#b5de2b", "#fde725")
_EMPTY = {
    "tiles": "Not begun: tiles are planned when all images are read.",
    "blocks": "Nothing is listed yet.",
}
_FAINT = 0.25  # opacity of pending tiles, and the least of tiles that are done in part
_TEMPLATES = Environment(loader=PackageLoader("fastdiff_dask"))


def make_page(document: Document, monitor: Monitor) -> None:
    """Fill a document with the snapshots of a monitor, as long as it is open."""
    page = _Page(document, monitor)
    document.add_next_tick_callback(page.update)
    document.add_periodic_callback(page.update, _INTERVAL_MS)


class _Page:
    def __init__(self, document: Document, monitor: Monitor) -> None:
        self._monitor = monitor
        self._shown: dict[str, Any] = {}
        style = InlineStyleSheet(css=_TEMPLATES.get_template("dashboard.css").render())
        self._texts = {
            name: Div(text="", name=name, sizing_mode="stretch_width", disable_math=True, stylesheets=[style])
            for name in ("header", "progress", "found", "workers", "errors")
        }
        self._texts["found"].sizing_mode = "inherit"
        self._texts["header"].text = "<h1>fastdiff_dask</h1><p class='faint'>Looking at the store …</p>"
        self._sources = {name: ColumnDataSource(_columns(None), name=f"{name}-data") for name in ("tiles", "blocks")}
        self._rates = {
            name: ColumnDataSource({"time": [], "rate": [], "area": []}, name=f"{name}-rates-data")
            for name in ("images", "pairs")
        }
        self._newest = 0.0
        self._ends: dict[str, float | None] = {"images": None, "pairs": None}  # times of the points that go on
        tiles = _map(self._sources["tiles"], 430, "Map of the tiles", "tiles")
        tiles.xaxis.axis_label, tiles.yaxis.axis_label = "image", "image"
        blocks = _map(self._sources["blocks"], 120, "Blocks of thumbnails", "blocks")
        self._maps = {"tiles": tiles, "blocks": blocks}
        self._curves = {"images": self._curve("images", _FOUND[0]), "pairs": self._curve("pairs", _COLOURS["done"])}
        document.title = "fastdiff_dask"
        document.template = _TEMPLATES.get_template("dashboard.html.jinja")
        legend = [
            (f"background: {_COLOURS['pending']}; opacity: {_FAINT}", "pending"),
            *((f"background: {_COLOURS[state]}", state) for state in ("running", "done")),
            (f"background: linear-gradient(90deg, {', '.join(_FOUND)})", "done, similar pairs found: few to many"),
        ]
        document.template_variables["legend"] = legend
        for model in (*self._texts.values(), tiles, blocks, *self._curves.values()):
            document.add_root(model)

    def _curve(self, name: str, colour: str) -> Any:
        plot = figure(
            name=name, height=130, sizing_mode="stretch_width", x_axis_type="datetime", toolbar_location=None, tools=""
        )
        source = self._rates[name]
        plot.varea(x="time", y1=0, y2="area", source=source, fill_color=colour, fill_alpha=0.25)
        plot.line("time", "rate", source=source, line_color=colour, line_width=2)
        plot.y_range.start = 0
        plot.x_range.min_interval = _LEAST_SHOWN * 1000
        plot.axis.visible = False
        plot.yaxis.formatter = NumeralTickFormatter(format="0.[0]a")
        plot.xaxis.ticker.desired_num_ticks = 4
        clock = "%H:%M:%S"
        plot.xaxis.formatter = DatetimeTickFormatter(
            **dict.fromkeys(("microseconds", "milliseconds", "seconds", "minsec", "minutes"), clock), hourmin="%H:%M"
        )
        _plain(plot)
        return plot

    async def update(self) -> None:
        """Look at the store, in a thread, and send the changes."""
        snapshot = await asyncio.get_running_loop().run_in_executor(None, self._monitor.snapshot)
        self.show(snapshot)

    def show(self, snapshot: Snapshot) -> None:
        """Show a snapshot."""
        for name, text in (
            ("header", header_text(self._monitor.url, snapshot)),
            ("progress", progress_text(snapshot)),
            ("found", found_text(snapshot)),
            ("workers", workers_text(snapshot)),
            ("errors", errors_text(snapshot)),
        ):
            if self._shown.get(name) != text:
                self._shown[name] = self._texts[name].text = text
        tiles = snapshot.comparisons[0].cells if snapshot.comparisons else None
        self._show_cells("tiles", tiles)
        self._show_cells("blocks", snapshot.blocks)
        new = [rates for rates in snapshot.rates if rates.time > self._newest]
        if new:
            self._newest = new[-1].time
            for name in self._rates:
                self._show_rates(name, [(rates.time, getattr(rates, name)) for rates in new])
        for name, stage, done in (("images", "thumbnails", "read"), ("pairs", "compare", "compared")):
            text = mean_text(name, done, snapshot.totals.get(stage))
            if self._curves[name].title.text != text:
                self._curves[name].title.text = text

    def _show_rates(self, name: str, new: list[tuple[float, float]]) -> None:
        # the axis shows the clock of the machine on which this runs
        offset = time.localtime(self._newest).tm_gmtoff
        points: list[tuple[float, float, float]] = []
        before = self._ends[name]
        for moment, rate in new:
            time_shown, there = (moment + offset) * 1000, math.isfinite(rate)
            if there and before is None:
                points.append((time_shown, math.nan, 0))
            elif not there and before is not None:
                points.append((before, math.nan, 0))  # an area has no gaps: it falls to 0 at once
            if there:
                points.append((time_shown, rate, rate))
            before = time_shown if there else None
        self._ends[name] = before
        if points:
            self._curves[name].axis.visible = True
            columns = zip(("time", "rate", "area"), map(list, zip(*points, strict=True)), strict=True)
            self._rates[name].stream(dict(columns), rollover=_POINTS)

    def _show_cells(self, name: str, cells: Cells | None) -> None:
        columns = _columns(cells)
        before = self._shown.get(name)
        if before is not None and all(np.array_equal(before[key], columns[key]) for key in columns):
            return
        self._shown[name] = self._sources[name].data = columns
        plot = self._maps[name]
        empty = cells is None or not len(cells.left)
        plot.title.text = _EMPTY[name] if empty else ""
        plot.axis.visible = not empty and name == "tiles"
        if cells is not None and not empty:
            plot.x_range.start, plot.x_range.end = 0, float(cells.right.max())
            plot.y_range.start, plot.y_range.end = float(cells.bottom.max()), 0


def _columns(cells: Cells | None) -> dict[str, Any]:
    """Make the columns of a map: the cells, and how they are drawn."""
    if cells is None:
        return {name: [] for name in (*Cells._fields, "state", "colour", "alpha")}
    states = cells.state()
    shades = np.log1p(cells.similar) / max(float(np.log1p(cells.similar.max(initial=0))), 1e-9)
    places = np.minimum((shades * len(_FOUND)).astype(int), len(_FOUND) - 1)
    share = cells.done / np.maximum(cells.tiles, 1)
    found = (cells.similar > 0) & (cells.running == 0) & (cells.done > 0)
    return {
        **cells._asdict(),
        "state": states,
        "colour": [
            _FOUND[place] if similar else _COLOURS[state]
            for state, similar, place in zip(states, found.tolist(), places.tolist(), strict=True)
        ],
        "alpha": np.where(cells.running > 0, 1.0, _FAINT + (0.95 - _FAINT) * share),
    }


def _map(source: ColumnDataSource, height: int, title: str, what: str) -> Any:
    plot = figure(
        name=what, height=height, sizing_mode="stretch_width", x_range=(0, 1), y_range=(1, 0), tools="",
        toolbar_location=None,
    )  # fmt: skip
    quads = plot.quad(
        "left", "right", "top", "bottom", source=source, fill_color="colour", fill_alpha="alpha",
        line_color=_GREY, line_alpha=0.35, line_width=0.5,
    )  # fmt: skip
    lines = [f"<b>@state</b>, @done{{0,0}} of @tiles{{0,0}} {what} done, @running running"]
    if what == "tiles":
        lines.insert(0, "images @top{0,0} to @bottom{0,0} × @left{0,0} to @right{0,0}")
        lines.append("@similar{0,0} similar of @pairs{0,0} pairs")
    plot.add_tools(HoverTool(renderers=[quads], tooltips="<div>" + "<br>".join(lines) + "</div>", description=title))
    for axis in (*plot.xaxis, *plot.yaxis):
        axis.formatter = NumeralTickFormatter(format="0.[0]a")
    _plain(plot)
    plot.grid.visible = False
    return plot


def _plain(plot: Any) -> None:
    """Set colours that are readable on light and dark ground."""
    plot.background_fill_alpha = plot.border_fill_alpha = 0
    plot.outline_line_color = None
    plot.title.text_color, plot.title.text_font_style = _GREY, "normal"
    plot.grid.grid_line_color, plot.grid.grid_line_alpha = _GREY, 0.25
    for axis in (*plot.xaxis, *plot.yaxis):
        axis.axis_line_color = axis.major_tick_line_color = _GREY
        axis.minor_tick_line_color = None
        axis.major_label_text_color = axis.axis_label_text_color = _GREY
