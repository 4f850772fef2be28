"""An SVG of matplotlib in fewer bytes: the same picture, with fonts that stand in where its own is missing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from xml.etree import ElementTree

SVG, LINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}href"
FONTS = "font-family:'DejaVu Sans',Verdana,sans-serif"
"""The second has the letters of the first in width, and is on machines that lack it."""
_NUMBER = re.compile(r"(-?\d+\.\d{2})\d+")
_NAMED = re.compile(r"#([\w.-]+)")
_MEASURED = ("d", "x", "y", "points", "width", "height", "transform")
_STILL = re.compile(r"rotate\(-?0 [^)]*\)")


def lean(svg: bytes) -> bytes:
    """The same picture: numbers to a hundredth of a point, no groups that do nothing, no names that nothing refers to.

    Args:
        svg: as matplotlib writes it, with words as words.
    """
    root = ElementTree.fromstring(svg)  # our own picture of a moment ago, no file of somebody's
    used = {name for node in root.iter() for value in node.attrib.values() for name in _NAMED.findall(value)}
    for gone in root.findall(f"{SVG}metadata"):
        root.remove(gone)
    _walk(root, used)
    root.set("style", FONTS)
    ElementTree.register_namespace("", SVG[1:-1])
    found: bytes = ElementTree.tostring(root, encoding="utf-8")
    return found


def _walk(node: ElementTree.Element, used: set[str]) -> None:
    _dress(node, used)
    words = node.tag in (f"{SVG}text", f"{SVG}tspan", f"{SVG}style")
    if not words:
        node.text = None
    children = [child for one in list(node) for child in _kept(one, used)]
    for one in list(node):
        node.remove(one)
    node.extend(children)
    for one in children:
        one.tail = one.tail if words else None


def _kept(node: ElementTree.Element, used: set[str]) -> Iterator[ElementTree.Element]:
    """The node, or in the place of a group that does nothing what is in it."""
    _walk(node, used)
    if node.tag == f"{SVG}g" and not node.attrib:
        yield from list(node)
    elif node.tag != f"{SVG}g" or len(node):
        yield node


def _dress(node: ElementTree.Element, used: set[str]) -> None:
    attributes = dict(node.attrib)
    node.attrib.clear()
    for key, value in attributes.items():
        if key == "id" and value not in used:
            continue
        if key == "transform":
            value = _STILL.sub("", value).strip()
        if key in _MEASURED:
            value = " ".join(_NUMBER.sub(_short, value).split())
        elif key == "style":
            value = _style(value)
        if value:
            node.set("href" if key == LINK else key, value)


def _short(found: re.Match[str]) -> str:
    """A number cut to hundredths; one that is smaller stays as it is, for it may be a scale."""
    return found[0] if abs(float(found[0])) < 0.1 else found[1]


def _style(text: str) -> str:
    parts = (part.strip() for part in text.split(";"))
    kept = [
        part.replace(": ", ":")
        for part in parts
        if part and not part.startswith("font-family: 'DejaVu Sans'")
    ]
    return ";".join(kept)
