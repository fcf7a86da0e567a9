"""A network's graph as a picture: layers from top to bottom, shortcuts along the right side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

from ogive.text import count, shorten

_WIDTH, _HEIGHT, _GAP = 264, 46, 24  # of a box, and between two layers, in pixels
_COLUMN_GAP, _LANE_GAP, _MARGIN, _RADIUS = 20, 14, 8, 9
_PILL_WIDTH, _PILL_HEIGHT = 76, 28
_LETTERS = 36  # that fit a box

_MERGES = {"add": "+", "mul": "×", "sub": "−", "div": "÷", "cat": "concat", "stack": "stack"}
_SHORT = {
    "Conv2d": "Conv",
    "BatchNorm1d": "BatchNorm",
    "BatchNorm2d": "BatchNorm",
    "AdaptiveAvgPool2d": "Average pool to",
    "AdaptiveMaxPool2d": "Max pool to",
    "AvgPool2d": "Average pool",
    "MaxPool2d": "Max pool",
}
_FOLLOWERS = ("norm", "relu", "silu", "gelu", "swish", "sigmoid", "tanh", "elu", "mish", "softmax")
"""Parts of the names of what is written into the box of the layer that it follows."""

_STYLE = """
.ogive-net{font:13px system-ui,sans-serif;max-width:none}
.ogive-net rect{fill:var(--box,#f4f6fb);stroke:var(--line,#c3cbdc);rx:8px}
.ogive-net .conv rect{fill:var(--box-conv,#e3edff);stroke:var(--box-conv-line,#7ea6ec)}
.ogive-net .linear rect{fill:var(--box-linear,#e6f5e9);stroke:var(--box-linear-line,#78b98a)}
.ogive-net .pool rect{fill:var(--box-pool,#fdf1dc);stroke:var(--box-pool-line,#d9a84e)}
.ogive-net .merge rect,.ogive-net .end rect{rx:14px}
.ogive-net text{fill:var(--text,#1c2333)}
.ogive-net .small{font-size:11px;fill:var(--muted,#5b657a)}
.ogive-net path{fill:none;stroke:var(--edge,#8b95aa);stroke-width:1.5}
.ogive-net marker path{fill:var(--edge,#8b95aa);stroke:none}
""".strip()


@dataclass
class _Box:
    """One or several nodes that are drawn as one, and where."""

    nodes: list[Mapping[str, Any]]
    layer: int = 0
    column: int = 0
    x: float = 0.0  # of its centre
    y: float = 0.0  # of its top
    sources: list[_Box] = field(default_factory=list)
    targets: list[_Box] = field(default_factory=list)

    @property
    def kind(self) -> str:
        return str(self.nodes[0]["type"])

    @property
    def pill(self) -> bool:
        return self.kind in _MERGES or self.kind in ("input", "output")

    @property
    def width(self) -> float:
        return max(_PILL_WIDTH, 9.0 * len(self.title) + 24) if self.pill else _WIDTH

    @property
    def height(self) -> float:
        return _PILL_HEIGHT if self.pill else _HEIGHT

    @property
    def middle(self) -> float:
        return self.y + self.height / 2

    @property
    def title(self) -> str:
        first = self.nodes[0]
        if self.kind in ("input", "output"):
            return f"{self.kind} {_shape(first)}".strip()
        name = _MERGES.get(self.kind) or _SHORT.get(self.kind, self.kind)
        if self.kind in _MERGES:
            return " · ".join([name, *(_plain(node) for node in self.nodes[1:])])
        detail = "×".join(map(str, first["shape"][1:])) if "pool to" in name else first["detail"]
        return f"{name} {detail}".strip()


def draw(graph: Mapping[str, Any]) -> str:
    """Returns the picture of a graph, as :func:`network_graph` makes it, as one SVG element.

    A layer and the normalisation and activation that follow it share a box. Colours come from
    CSS variables of the page around, with defaults of its own.
    """
    boxes = _boxes(graph)
    if not boxes:
        return '<svg class="ogive-net" xmlns="http://www.w3.org/2000/svg" width="0" height="0"/>'
    _set_layers(boxes)
    _set_columns(boxes)
    height = _set_places(boxes)
    paths, right = _edges(boxes)
    width = right + _MARGIN
    parts = [*paths, *(_box_svg(box) for box in boxes)]
    return (
        f'<svg class="ogive-net" xmlns="http://www.w3.org/2000/svg" role="img"'
        f' aria-label="The network, from its input at the top to its output"'
        f' width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}">'
        f"<style>{_STYLE}</style><defs>"
        '<marker id="ogive-arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7"'
        ' markerHeight="7" orient="auto"><path d="M0 0 8 4 0 8z"/></marker></defs>'
        f"{''.join(parts)}</svg>"
    )


# --- from nodes to boxes ------------------------------------------------------------------------


def _boxes(graph: Mapping[str, Any]) -> list[_Box]:
    """The boxes of a graph, each after those that feed it."""
    nodes = {node["id"]: node for node in graph["nodes"]}
    sources: dict[str, list[str]] = {name: [] for name in nodes}
    targets: dict[str, list[str]] = {name: [] for name in nodes}
    for source, target in graph["edges"]:
        sources[target].append(source)
        targets[source].append(target)

    box_of: dict[str, _Box] = {}
    boxes: list[_Box] = []
    for name, node in nodes.items():
        before = sources[name]
        follows = len(before) == 1 and len(targets[before[0]]) == 1 and _is_follower(node)
        if follows and box_of[before[0]].kind != "input":
            box_of[name] = box_of[before[0]]
            box_of[name].nodes.append(node)
        else:
            box_of[name] = _Box([node])
            boxes.append(box_of[name])
    for source, target in graph["edges"]:
        start, end = box_of[source], box_of[target]
        if start is not end and end not in start.targets:
            start.targets.append(end)
            end.sources.append(start)
    return boxes


def _is_follower(node: Mapping[str, Any]) -> bool:
    return any(part in node["type"].lower() for part in _FOLLOWERS)


# --- where they stand ---------------------------------------------------------------------------


def _set_layers(boxes: Sequence[_Box]) -> None:
    for box in boxes:
        box.layer = 1 + max((source.layer for source in box.sources), default=-1)


def _set_columns(boxes: Sequence[_Box]) -> None:
    """Cuts the graph into chains; the longest stands in the first column, others find room."""
    placed: set[int] = set()
    taken: list[set[int]] = []  # the layers that are taken, of each column
    while len(placed) < len(boxes):
        chain = _longest_chain(boxes, placed)
        layers = set(range(chain[0].layer, chain[-1].layer + 1))
        free = (number for number, used in enumerate(taken) if not used & layers)
        column = next(free, len(taken))
        if column == len(taken):
            taken.append(set())
        taken[column] |= layers
        for box in chain:
            box.column = column
            placed.add(id(box))


def _longest_chain(boxes: Sequence[_Box], placed: set[int]) -> list[_Box]:
    length: dict[int, int] = {}
    following: dict[int, _Box] = {}
    for box in reversed(boxes):
        if id(box) in placed:
            continue
        rest = [target for target in box.targets if id(target) in length]
        best = max(rest, key=lambda target: length[id(target)], default=None)
        length[id(box)] = 1 + (length[id(best)] if best else 0)
        if best:
            following[id(box)] = best
    box = max((box for box in boxes if id(box) in length), key=lambda box: length[id(box)])
    chain = [box]
    while id(box) in following:
        box = following[id(box)]
        chain.append(box)
    return chain


def _set_places(boxes: Sequence[_Box]) -> float:
    """Gives each box its place and returns the height of the picture."""
    heights = [0.0] * (1 + max(box.layer for box in boxes))
    for box in boxes:
        heights[box.layer] = max(heights[box.layer], box.height)
    tops = [_MARGIN + sum(heights[:layer]) + _GAP * layer for layer in range(len(heights))]
    for box in boxes:
        box.x = _MARGIN + _WIDTH / 2 + box.column * (_WIDTH + _COLUMN_GAP)
        box.y = tops[box.layer] + (heights[box.layer] - box.height) / 2
    return tops[-1] + heights[-1] + _MARGIN


# --- how they are joined ------------------------------------------------------------------------


def _edges(boxes: Sequence[_Box]) -> tuple[list[str], float]:
    """The edges as SVG, and how far the picture reaches to the right."""
    at = {(box.layer, box.column): box for box in boxes}
    right = max(box.x + _WIDTH / 2 for box in boxes)
    lanes: list[set[int]] = []
    paths = []
    for box in boxes:
        for target in box.targets:
            between = range(box.layer + 1, target.layer)
            column = _free_column(box, target, at)
            if column is not None:
                paths.append(_through(box, target, column))
                continue
            layers = set(range(box.layer, target.layer))
            free = (number for number, used in enumerate(lanes) if not used & layers)
            lane = next(free, len(lanes))
            if lane == len(lanes):
                lanes.append(set())
            lanes[lane] |= layers
            beside = max(b.x + b.width / 2 for b in boxes if b.layer in {*between, *layers})
            x = beside + _LANE_GAP * (lane + 1)
            right = max(right, x)
            paths.append(_around(box, target, x))
    return paths, right


def _free_column(source: _Box, target: _Box, at: Mapping[tuple[int, int], _Box]) -> _Box | None:
    """The end whose column an edge can follow without crossing a box."""
    between = range(source.layer + 1, target.layer)
    for end in (source, target):
        if not any((layer, end.column) in at for layer in between):
            return end
    return None


def _through(source: _Box, target: _Box, column: _Box) -> str:
    start, end = source.y + source.height, target.y - 1
    bend = _GAP / 2
    if column is source:
        turn = max(start, end - _GAP - (_HEIGHT - _PILL_HEIGHT) / 2)
        curve = f"V{turn:.1f}C{source.x:.1f} {end - bend:.1f} {target.x:.1f} {turn + bend:.1f}"
    else:
        turn = start + _GAP
        curve = f"C{source.x:.1f} {turn:.1f} {target.x:.1f} {start:.1f} {target.x:.1f} {turn:.1f}"
        return _path(f"M{source.x:.1f} {start:.1f}{curve}V{end:.1f}")
    return _path(f"M{source.x:.1f} {start:.1f}{curve} {target.x:.1f} {end:.1f}")


def _around(source: _Box, target: _Box, x: float) -> str:
    """Out of the right side, down a lane, into the right side."""
    start, end, r = source.x + source.width / 2, target.x + target.width / 2, _RADIUS
    return _path(
        f"M{start:.1f} {source.middle:.1f}H{x - r:.1f}q{r} 0 {r} {r}"
        f"V{target.middle - r:.1f}q0 {r} {-r} {r}H{end + 1:.1f}"
    )


def _path(d: str) -> str:
    return f'<path d="{d}" marker-end="url(#ogive-arrow)"/>'


# --- how one box looks --------------------------------------------------------------------------


def _box_svg(box: _Box) -> str:
    left, top = box.x - box.width / 2, box.y
    frame = f'<rect x="{left:.1f}" y="{top:.1f}" width="{box.width:.1f}" height="{box.height}"/>'
    words = escape(" → ".join(_words(node) for node in box.nodes))
    parts = [f'<g class="{_class(box)}"><title>{words}</title>{frame}']
    if box.pill:
        parts.append(_text(box.x, box.middle + 4.5, box.title, anchor="middle"))
    else:
        after = " · ".join(_plain(node) for node in box.nodes[1:])
        params = sum(node["params"] for node in box.nodes)
        size = " · ".join(filter(None, [_shape(box.nodes[-1]), count(params) if params else ""]))
        room = _LETTERS - len(size) + 4  # the second line's letters are smaller
        parts += [
            _text(left + 10, top + 19, shorten(box.title, _LETTERS)),
            _text(left + 10, top + 36, shorten(after, room), small=True),
            _text(left + _WIDTH - 10, top + 36, size, small=True, anchor="end"),
        ]
    return "".join(parts) + "</g>"


def _class(box: _Box) -> str:
    kind = box.kind.lower()
    if box.pill:
        return "merge" if box.kind in _MERGES else "end"
    known = {"conv": "conv", "linear": "linear", "embed": "linear", "pool": "pool", "mean": "pool"}
    return next((name for part, name in known.items() if part in kind), "other")


def _text(x: float, y: float, text: str, *, small: bool = False, anchor: str = "start") -> str:
    size = ' class="small"' if small else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{size}>{escape(text)}</text>'


def _plain(node: Mapping[str, Any]) -> str:
    kind: str = node["type"]
    return _SHORT.get(kind, kind)


def _shape(node: Mapping[str, Any]) -> str:
    return "×".join(map(str, node["shape"]))


def _words(node: Mapping[str, Any]) -> str:
    """Everything that is known of a node, for those who point at it."""
    detail = ", ".join(filter(None, [node["detail"], f"{node['params']:,} parameters"]))
    place = f" ({node['name']})" if node["name"] else ""
    return f"{node['type']}{place}: {detail}"
