"""One net under several names: parameters of other code bases are found in ours, by rule or by order, never by guess.

A scheme is a way in which a code base names the parts of a net. A match must name every parameter that is asked for,
two never alike, and every shape must agree; the first scheme that does is taken. Where none does, parameters are
matched by their order, if kinds and shapes agree one by one all the way, so that nothing is left to choose.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import accumulate, pairwise

from ticketctl.errors import ArtifactError, near_miss

Shapes = Mapping[str, tuple[int, ...]]
"""Name to shape, in the order of the net's state_dict."""

ORDER = "by order"
"""What is said where no scheme named the parts."""

_BLOCK = re.compile(r"layer(\d+)\.(\d+)\.")
_RULES: dict[str, tuple[tuple[str, str], ...]] = {
    "ours": (),
    "torchvision": ((r"^classifier\.", "fc."),),
    "timm": ((r"^head\.fc\.", "fc."), (r"^head\.", "fc."), (r"^classifier\.", "fc."), (r"^conv_stem\.", "conv1.")),
    "pytorch-cifar": (
        (r"\.shortcut\.", ".downsample."), (r"^linear\.", "fc."), (r"^classifier\.", "fc."),
        (r"\.conv_bn_relu\.", "."), (r"^features\.", "features."),
    ),
}  # fmt: skip
_KINDS = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def to_ours(
    ours: Shapes, theirs: Shapes, scheme: str | None = None, *, net: str = "our net"
) -> dict[str, str]:
    """Our name for each of their parameters.

    Args:
        ours: names and shapes of our net's state_dict, in its order.
        theirs: names and shapes of some or all parameters of theirs, in the order of their file.
        scheme: a name of `schemes()`, or None for whichever fits.
        net: what messages call the net of `ours`.

    Raises:
        ArtifactError: E_ARCH_MISMATCH: the names or shapes are those of another net; says which fits worst.
    """
    tried = {scheme: _all_rules()[scheme]} if scheme else _all_rules()
    failures = []
    for rename in tried.values():
        found = {name: rename(name, ours) for name in theirs}
        odd = _odd(found, ours, theirs, net)
        if odd is None:
            return found
        failures.append(odd)
    if scheme is None and (found := _by_order(ours, theirs)):
        return found
    raise ArtifactError("E_ARCH_MISMATCH", max(failures)[2])


def between(here: Shapes, there: Shapes, *, net: str = "our net") -> dict[str, str]:
    """The name there of each parameter here, where one of the two namings is ours, or both are one.

    Args:
        here: names and shapes of one net.
        there: of the other.
        net: what messages call the other.

    Raises:
        ArtifactError: E_ARCH_MISMATCH: they are not one net under two names.
    """
    try:
        return to_ours(there, here, net=net)
    except ArtifactError:
        with suppress(ArtifactError):
            return {mine: theirs for theirs, mine in to_ours(here, there).items()}
        raise


def unsure(names: Mapping[str, str], here: Shapes, there: Shapes) -> list[str]:
    """Parameters here that `between` matched by their order alone, and that another order would fit as well.

    Args:
        names: what `between` found.
        here: names and shapes of one net.
        there: of the other.

    Returns:
        Those of a kind and shape that another one has too; nothing where a scheme names them.
    """
    if any(_named(*pair) for pair in ((there, here), (here, there))):
        return []
    kinds = {name: (_kind(name, here[name]), tuple(here[name])) for name in names}
    counted = Counter(kinds.values())
    return [name for name, kind in kinds.items() if counted[kind] > 1]


def _named(ours: Shapes, theirs: Shapes) -> bool:
    """Whether one of the schemes finds all of theirs in ours."""
    found = ({name: rename(name, ours) for name in theirs} for rename in _all_rules().values())
    return any(_odd(one, ours, theirs, "") is None for one in found)


def unwrapped(names: Iterable[str]) -> dict[str, str]:
    """Each by its name without what wrappers put before it: `_orig_mod.` (torch.compile), `module.` (DataParallel)."""
    found = {name.replace("_orig_mod.", ""): name for name in names}
    while found and all(name.startswith("module.") for name in found):
        found = {plain.removeprefix("module."): name for plain, name in found.items()}
    return found


def schemes() -> tuple[str, ...]:
    """Ways of naming that are known."""
    return tuple(_all_rules())


def _all_rules() -> dict[str, Callable[[str, Shapes], str]]:
    rules: dict[str, Callable[[str, Shapes], str]] = {
        name: lambda one, ours, pairs=pairs: _renamed(one, pairs)  # type: ignore[misc]  # mypy cannot infer a lambda with a default
        for name, pairs in _RULES.items()
    }
    return {**rules, "open-lth": _open_lth}


def _renamed(name: str, pairs: Sequence[tuple[str, str]]) -> str:
    for pattern, new in pairs:
        name = re.sub(pattern, new, name)
    return name


def _open_lth(name: str, ours: Shapes) -> str:
    """open_lth: `conv`, `bn`, `blocks.K` counted through all stages, `fc_layers.K` and `fc` of a LeNet, `layers.K`."""
    name = name.removeprefix("model.")  # its ImageNet nets are torchvision's
    if match := re.fullmatch(r"fc_layers\.(\d+)\.(.+)", name):
        return f"fc{int(match[1]) + 1}.{match[2]}"
    lenets = [int(match[1]) for key in ours if (match := re.match(r"fc(\d+)\.weight$", key))]
    if lenets and (match := re.fullmatch(r"fc\.(.+)", name)):
        return f"fc{max(lenets)}.{match[1]}"
    if match := re.fullmatch(r"blocks\.(\d+)\.(.+)", name):
        place = _block(int(match[1]), ours)
        return f"{place}{_renamed(match[2], ((r'^shortcut', 'downsample'),))}" if place else name
    if match := re.fullmatch(r"layers\.(\d+)\.(conv|bn)\.(.+)", name):
        return _feature(int(match[1]), match[2], match[3], ours) or name
    return _renamed(name, ((r"^conv\.", "conv1."), (r"^bn\.", "bn1.")))


def _block(number: int, ours: Shapes) -> str | None:
    """`layerS.I.` of the block with this number, counted from 0 through all stages."""
    places = list(dict.fromkeys(match[0] for key in ours if (match := _BLOCK.match(key))))
    return places[number] if number < len(places) else None


def _feature(number: int, part: str, kind: str, ours: Shapes) -> str | None:
    """`features.I.kind` of the convolution, or of the norm behind it, with this number: pools are numbered too."""
    convs = [
        int(key.split(".")[1])
        for key in ours
        if re.fullmatch(r"features\.\d+\.weight", key) and len(ours[key]) == 4
    ]
    pools = [at - before > 3 for before, at in pairwise(convs)]
    numbers = [at + skipped for at, skipped in enumerate(accumulate(pools, initial=0))]
    if number not in numbers:
        return None
    return f"features.{convs[numbers.index(number)] + (part == 'bn')}.{kind}"


def _odd(found: Mapping[str, str], ours: Shapes, theirs: Shapes, net: str) -> tuple[int, int, str] | None:
    """How many parameters fit before the first that does not, how near that came, what is wrong; None: all fit."""
    seen: dict[str, str] = {}
    for count, (name, here) in enumerate(found.items()):
        shape = tuple(theirs[name])
        if here not in ours:
            return count, 0, f"no parameter {name!r} in {net}; {near_miss(here, list(ours), 6)}"
        if tuple(ours[here]) != shape:
            return count, 2, f"{name} has the shape {list(shape)}, {net}'s {here} has {list(ours[here])}"
        if here in seen:
            return count, 1, f"{name} and {seen[here]} would both be {net}'s {here}"
        seen[here] = name
    return None


def _by_order(ours: Shapes, theirs: Shapes) -> dict[str, str]:
    """Matched one by one, if there are as many of each kind and all shapes agree; else nothing."""
    kinds = {_kind(name, shape) for name, shape in theirs.items()}
    left = {name: shape for name, shape in ours.items() if _kind(name, shape) in kinds}
    if len(left) != len(theirs):
        return {}
    pairs = list(zip(theirs.items(), left.items(), strict=True))
    same = all(tuple(one[1]) == tuple(two[1]) and _kind(*one) == _kind(*two) for one, two in pairs)
    return {one[0]: two[0] for one, two in pairs} if same else {}


def _kind(name: str, shape: tuple[int, ...]) -> str:
    """weight, bias, running_mean, ..., and of weights the number of dimensions."""
    last = name.rpartition(".")[2]
    return f"{last if last in _KINDS else 'other'}-{len(shape) if last == 'weight' else ''}"


def positional(ours: Shapes, prunable: Sequence[str], shapes: Sequence[tuple[int, ...]]) -> list[str]:
    """Our names of masks that came in a list, without names, in the order of the net's prunable parameters.

    Raises:
        ArtifactError: E_ARCH_MISMATCH: another number of masks, or another shape at a place.
    """
    if len(shapes) != len(prunable):
        raise ArtifactError(
            "E_ARCH_MISMATCH",
            f"{len(shapes)} masks in a list, our net has {len(prunable)} prunable parameters",
        )
    for at, (name, shape) in enumerate(zip(prunable, shapes, strict=True)):
        if tuple(ours[name]) != tuple(shape):
            raise ArtifactError(
                "E_ARCH_MISMATCH",
                f"mask {at} has the shape {list(shape)}, our {name} has {list(ours[name])}",
            )
    return list(prunable)
