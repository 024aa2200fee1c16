"""Charts as inline SVG: drawn by Vega-Lite when the report is written, so that they need no script when it is read.

Colours are names of the page's own CSS variables (`var(--better)`), which is how one drawing serves the light look, the
dark look and paper. Each chart is drawn twice, for a desk and for a phone; the page shows the one that fits.
"""

from __future__ import annotations

import math
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from markupsafe import Markup

from evalkit.reports.text import visible

SVG = "http://www.w3.org/2000/svg"
INK, SOFT, LINE = "var(--ink)", "var(--soft)", "var(--line)"

Spec = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Layout:
    """Room for a chart.

    Attributes:
        name: Class of the drawing: `wide` or `narrow`.
        width: Pixels from edge to edge.
        names: Of these, for the names of rows on the left.
        texts: Of these, for what is written on the right.
    """

    name: str
    width: int
    names: int
    texts: int

    @property
    def plot(self) -> int:
        """Pixels between the two."""
        return self.width - self.names - self.texts

    def fitted(self, names: Sequence[str], texts: Sequence[str] | None = None, aside: int = 0) -> Layout:
        """The same with no more room for names than they need, and just what the texts need; the plot gets the rest.

        Args:
            names: What is written on the left; cut where it is too long.
            texts: What is written on the right, never cut; None keeps their room.
            aside: Pixels between plot and texts for something else.
        """
        longest = max((len(name) for name in names), default=0)
        fitted = replace(self, names=min(self.names, max(50, 20 + 8 * longest)))
        if texts is None:
            return fitted
        # the fonts that pages are read in are wider than the one that they are drawn with
        return replace(fitted, texts=20 + aside + math.ceil(8.2 * max((len(text) for text in texts), default=0)))

    @property
    def is_narrow(self) -> bool:
        """Whether it is a phone's."""
        return self.name == "narrow"


WIDE = Layout("wide", 980, 250, 180)
NARROW = Layout("narrow", 334, 112, 62)


@dataclass(frozen=True, slots=True)
class Chart:
    """A drawing with its words.

    Attributes:
        title: What it shows.
        about: How to read it, in a sentence or two.
        drawings: The SVG for each layout.
        key: What marks mean, as (class of the mark, word).
        is_small: Whether it may stand beside another.
    """

    title: str
    about: str
    drawings: tuple[Markup, ...]
    key: tuple[tuple[str, str], ...] = ()
    is_small: bool = False


def chart(
    title: str,
    about: str,
    spec: Callable[[Layout], Spec],
    *,
    key: Sequence[tuple[str, str]] = (),
    layouts: Sequence[Layout] = (WIDE, NARROW),
) -> Chart:
    """Draws a chart for each layout.

    Args:
        title: What it shows.
        about: How to read it.
        spec: Layout -> Vega-Lite specification, without data from anywhere else.
        key: What marks mean.
        layouts: One where a single drawing fits everywhere.
    """
    drawings = tuple(
        draw(spec(layout), "only" if len(layouts) == 1 else layout.name, title, layout.width) for layout in layouts
    )
    return Chart(title, about, drawings, tuple(key), is_small=len(layouts) == 1)


def draw(spec: Spec, name: str, title: str, least: int = 0) -> Markup:
    """A specification as SVG that a strict content policy allows: no style attributes, no ids, no links.

    Args:
        spec: Vega-Lite's.
        name: Class of the drawing.
        title: What it shows.
        least: Pixels that it is wide at least: room for words that a browser's font makes longer than the drawing's does.
    """
    from vl_convert import vegalite_to_svg

    text = vegalite_to_svg({**THEME, **spec}, allowed_base_urls=[])
    ElementTree.register_namespace("", SVG)
    root = ElementTree.fromstring(text)
    width, height = (math.ceil(float(root.attrib[side])) for side in ("width", "height"))
    width = max(width, least)
    _explain(root)
    root.attrib.clear()
    root.attrib.update(
        {
            "class": f"drawing {name}",
            "viewBox": f"0 0 {width} {height}",
            "width": str(width),
            "height": str(height),
            "role": "group",
            "aria-label": visible(title),
        }
    )
    return Markup(ElementTree.tostring(root, encoding="unicode"))


def _explain(root: ElementTree.Element) -> None:
    """Gives each mark that has a description a tooltip, and takes from the rest what only a Vega runtime would need."""
    for element in root.iter():
        label = element.attrib.pop("aria-label", None)
        roles = [element.attrib.pop(name, None) for name in ("role", "aria-roledescription")]
        for name in ("class", "pointer-events"):
            element.attrib.pop(name, None)
        if label is not None and "graphics-symbol" in roles:
            element.attrib.update({"class": "mark", "role": "img", "aria-label": label})
            title = ElementTree.Element(f"{{{SVG}}}title")
            title.text = label
            element.insert(0, title)


def values(rows: Sequence[Mapping[str, Any]]) -> Spec:
    """Rows of data, inside the specification; their text is made visible first."""
    return {"values": [{key: _safe(value) for key, value in row.items()} for row in rows]}


def _safe(value: Any) -> Any:
    return visible(value) if isinstance(value, str) else value


def text_mark(align: str = "left", **more: Any) -> Spec:
    """A mark that writes a word."""
    return {"type": "text", "align": align, "baseline": "middle", "aria": False, "fill": INK, "fontSize": 13, **more}


THEME: Spec = {
    "background": None,
    "padding": 2,
    "config": {
        "font": "system-ui, sans-serif",
        "view": {"stroke": None},
        "text": {"fontSize": 13},
        "axis": {
            "aria": False,
            "domain": False,
            "ticks": False,
            "gridColor": LINE,
            "gridOpacity": 1,
            "labelColor": SOFT,
            "labelFontSize": 12,
            "labelPadding": 6,
            "labelFlush": False,
            "titleColor": SOFT,
            "titleFontSize": 12,
            "titleFontWeight": "normal",
        },
        "header": {"labelColor": INK, "labelFontSize": 13, "title": None},
        "legend": {"disable": True},
        "scale": {"round": False},
    },
}
