"""The layers of a foreign file in the order of the net, also where the file has lost it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

Shape = tuple[int, ...]
Form = frozenset[tuple[str, Shape]]
"""What a layer is: the names and shapes of its parts."""
PARTS = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
"""Tensors of a layer in torch's order."""
_NUMBER = re.compile(r"([0-9]{1,9})")


def by_layer(shapes: Mapping[str, Shape]) -> dict[str, Shape]:
    """Layer by layer, as each is met first, and within it in torch's order: some store a bias before its weight.

    >>> list(by_layer({"a.bias": (2,), "b.bias": (1,), "b.weight": (1, 2), "a.weight": (2, 3)}))
    ['a.weight', 'a.bias', 'b.weight', 'b.bias']
    """
    layers: dict[str, int] = {}
    for name in shapes:
        layers.setdefault(name.rpartition(".")[0], len(layers))

    def place(name: str) -> tuple[int, int]:
        layer, _, part = name.rpartition(".")
        return layers[layer], PARTS.index(part) if part in PARTS else len(PARTS)

    return {name: shapes[name] for name in sorted(shapes, key=place)}


def by_number(shapes: Mapping[str, Shape]) -> dict[str, Shape]:
    """In the order of names, numbers in them by their value, and layer by layer.

    >>> list(by_number({"a.10.weight": (1,), "a.2.weight": (1,)}))
    ['a.2.weight', 'a.10.weight']
    """
    return by_layer({name: shapes[name] for name in sorted(shapes, key=_key)})


def placed(ours: Mapping[str, Shape], theirs: Mapping[str, Shape]) -> tuple[dict[str, Shape], list[str]]:
    """Their parameters in the order of ours, by their shapes alone and, among layers alike, by the numbers in names.

    Args:
        ours: names and shapes of our net, layer by layer.
        theirs: of a file that does not keep the net's order.

    Returns:
        All of theirs, in the order of names and numbers if they are not the layers of ours; and the parameters of
        layers that are alike in parts and shapes, and whose names differ in more than numbers.

    >>> placed({"a.weight": (3, 2), "b.weight": (1, 3)}, {"in.weight": (1, 3), "out.weight": (3, 2)})
    ({'out.weight': (3, 2), 'in.weight': (1, 3)}, [])
    """
    kinds = {_kind(name, shape) for name, shape in theirs.items()}
    left = {name: shape for name, shape in ours.items() if _kind(name, shape) in kinds}
    here, there = _alike(left), _alike(by_number(theirs))
    if _counts(here) != _counts(there):
        return by_number(theirs), _alone(theirs)
    pairs = {mine: other for form in here for mine, other in zip(here[form], there[form], strict=True)}
    names = (_joined(pairs[layer], part) for layer, _, part in (name.rpartition(".") for name in left))
    unsettled = {layer for layers in there.values() if not _numbered(layers) for layer in layers}
    unknown = [name for name in theirs if name.rpartition(".")[0] in unsettled]
    return {name: theirs[name] for name in names}, unknown


def _alike(shapes: Mapping[str, Shape]) -> dict[Form, list[str]]:
    """Layers in their order, by the names and shapes of their parts."""
    layers: dict[str, set[tuple[str, Shape]]] = {}
    for name, shape in shapes.items():
        layer, _, part = name.rpartition(".")
        layers.setdefault(layer, set()).add((part, tuple(shape)))
    found: dict[Form, list[str]] = {}
    for layer, parts in layers.items():
        found.setdefault(frozenset(parts), []).append(layer)
    return found


def _counts(layers: Mapping[Form, list[str]]) -> dict[Form, int]:
    return {form: len(names) for form, names in layers.items()}


def _numbered(layers: Iterable[str]) -> bool:
    """Whether their names differ in numbers alone, which give their order."""
    return len({_NUMBER.sub("#", name) for name in layers}) == 1


def _alone(shapes: Mapping[str, Shape]) -> list[str]:
    """Parameters that another one is alike, and whose names differ in more than numbers."""
    alike: dict[tuple[str, Shape], list[str]] = {}
    for name, shape in shapes.items():
        alike.setdefault((name.rpartition(".")[2], tuple(shape)), []).append(name)
    return [name for names in alike.values() if not _numbered(names) for name in names]


def _joined(layer: str, part: str) -> str:
    return f"{layer}.{part}" if layer else part


def _key(name: str) -> list[tuple[int, str]]:
    parts = enumerate(_NUMBER.split(name))  # text and numbers by turns
    return [(int(part), "") if at % 2 else (-1, part) for at, part in parts]


def _kind(name: str, shape: Shape) -> tuple[str, int]:
    return name.rpartition(".")[2], len(shape)
