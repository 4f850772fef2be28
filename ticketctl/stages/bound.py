"""Foreign masks and weights put to a net of ours, by names and shapes; what has no place in it is refused or told."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np
import torch
from numpy.typing import NDArray

from ticketctl.dialects.tree import Found, Keep
from ticketctl.errors import ArtifactError, UsageError, listed
from ticketctl.masks.mask import Mask
from ticketctl.nets.naming import positional, schemes, to_ours, unsure
from ticketctl.stages.import_target import Target
from ticketctl.stages.layer_order import Shape, by_layer, by_number, placed
from ticketctl.train.state import State, from_tensor


@dataclass(frozen=True)
class Names:
    """Our names of a file's parameters, by theirs, and what is to be told of how they were found."""

    ours: Mapping[str, str]
    notes: tuple[str, ...] = ()


def names_in(
    theirs: Mapping[str, Shape], target: Target, scheme: str | None, file: str, *, ordered: bool = True
) -> Names:
    """Our name of each parameter; a part that stands before all names of the file's net (`model.`) is taken off.

    Args:
        theirs: names and shapes, in the file's order of layers; within a layer any order will do.
        target: our net.
        scheme: a scheme of names; None: whichever fits.
        file: its name, for messages.
        ordered: False if the file's order is not the net's: shapes tell the layers apart then, and those of equal
            shapes the numbers in their names.

    Raises:
        ArtifactError: E_ARCH_MISMATCH, they are those of another net, or only their order could tell which is which,
            and the file has not kept it.
    """
    ours, theirs = by_layer(target.shapes), by_layer(theirs) if ordered else by_number(theirs)
    failure: ArtifactError | None = None
    for prefix in _prefixes(theirs):
        inside = {
            name.removeprefix(prefix): shape for name, shape in theirs.items() if name.startswith(prefix)
        }
        inside, unknown = (inside, []) if ordered else placed(ours, inside)
        try:
            found = to_ours(ours, inside, scheme)
        except ArtifactError as error:
            failure = failure or error
            continue
        notes = _by_order(found, inside, ours, unknown, file) if _unnamed(ours, inside, scheme) else []
        left = [name for name in theirs if not name.startswith(prefix)]
        notes += [f"left out, for it lies outside of {prefix}: {listed(left)}"] if left else []
        return Names({f"{prefix}{name}": own for name, own in found.items()}, tuple(notes))
    assert failure is not None
    why = f"{file}: not of {target.recipe.model.name}: {failure.said}"
    raise ArtifactError(failure.code, f"{why}{_way_out(ours, theirs, scheme)}")


def _by_order(
    found: Mapping[str, str],
    theirs: Mapping[str, Shape],
    ours: Mapping[str, Shape],
    unknown: Sequence[str],
    file: str,
) -> list[str]:
    """That nothing but order decided, and where another order would have fitted as well; `unknown` has no order."""
    if unknown:
        raise ArtifactError(
            "E_ARCH_MISMATCH",
            f"{file}: which layers {listed(unknown)} are, their names do not tell, and this kind of file does not keep "
            f"their order; rename its keys to {listed([found[name] for name in unknown])}, each to its own, or import "
            "a file of torch.save",
        )
    either = unsure(found, theirs, ours)
    told = (
        f"; another order would fit {listed(either)} too: rename the keys if this is not the net's own"
        if either
        else ""
    )
    return [f"names matched by their order and shapes alone{told}"]


def _way_out(ours: Mapping[str, Shape], theirs: Mapping[str, Shape], scheme: str | None) -> str:
    """What to do where names cannot be matched; nothing where they can, and it is the shapes that differ."""
    left = [name for name in ours if not any(f".{other}".endswith(f".{name}") for other in theirs)]
    if not left or theirs.keys() <= ours.keys():
        return ""
    parts = {name.rpartition(".")[2] for name in theirs}  # a mask over weights says nothing of biases
    left = [name for name in left if name.rpartition(".")[2] in parts] or left
    other = "leave --names out" if scheme else f"--names SCHEME ({', '.join(schemes())})"
    rename = f"rename its keys to those of ours that nothing there is named, in our order: {listed(left)}"
    lost = {name: shape for name, shape in theirs.items() if name not in ours}
    return f"; {_out_of_order(lost, {name: ours[name] for name in left})}; {other}, or {rename}"


def _out_of_order(theirs: Mapping[str, Shape], ours: Mapping[str, Shape]) -> str:
    """The first pair that kept their order and shapes from matching."""
    for there, here in zip_longest(theirs.items(), ours.items()):
        if here is None:
            return f"by their order none of ours is left for {there[0][:80]}"
        if there is None:
            return f"by their order nothing is left for our {here[0]}"
        if there[1] != here[1]:
            return f"by their order {there[0][:80]} {[*there[1]]} would be our {here[0]} {[*here[1]]}"
    return "their order and shapes agree, and kinds do not"


def _prefixes(names: Iterable[str]) -> list[str]:
    """None, and what stands before a parameter's layer: `model.`, `net.backbone.` …, that of most parameters first."""
    counted: dict[str, int] = {"": 0}
    for name in names:
        parts = name.split(".")[:-2]
        for depth in range(1, min(len(parts), 3) + 1):
            prefix = ".".join(parts[:depth]) + "."
            counted[prefix] = counted.get(prefix, 0) + 1
    usual = sorted(
        (prefix for prefix in counted if prefix), key=lambda prefix: (-counted[prefix], len(prefix))
    )
    return ["", *usual[:4]]


def _unnamed(ours: Mapping[str, Shape], theirs: Mapping[str, Shape], scheme: str | None) -> bool:
    """Whether no scheme names them, so that their order was all there was to go by."""
    for known in () if scheme else schemes():
        try:
            to_ours(ours, theirs, known)
        except ArtifactError:
            continue
        return False
    return scheme is None


def mask_in(found: Found, target: Target, scheme: str | None, file: str) -> tuple[Mask, tuple[str, ...]]:
    """The mask over our prunable weights, and what is to be told. Those without a mask in the file are dense.

    Raises:
        ArtifactError: E_ARCH_MISMATCH, a mask of no parameter of the net, or of another shape.
        UsageError: the file prunes what is never pruned here.
    """
    keep, notes = _named(found, target, scheme, file)
    ours = target.prunable()
    outside = [name for name, mask in keep.items() if name not in ours and not mask.all()]
    if outside and found.exact:
        name, pruned = outside[0], keep[outside[0]]
        policed = target.recipe.draw.prunable if target.recipe.draw else "default"
        raise UsageError(
            f"{file}: prunes {pruned.size - int(pruned.sum())} of {pruned.size} values of {name}, "
            f"which stay dense here (draw.prunable = {policed})"
        )
    dense = [name for name in ours if name not in keep]
    told = [f"zeros in {listed(outside)} are weights: these stay dense here"] if outside else []
    told += [f"no mask for {listed(dense)}: dense"] if dense else []
    whole = {name: np.ones(target.shapes[name], np.bool_) for name in ours}
    mask = Mask.from_arrays({name: keep.get(name, full) for name, full in whole.items()})
    return mask, (*notes, *told)


def _named(found: Found, target: Target, scheme: str | None, file: str) -> tuple[Keep, tuple[str, ...]]:
    """The masks under our names."""
    if found.places:
        shapes, order = target.shapes, target.prunable("default")
        if found.places == len(order):
            lacking = {str(place): shapes[name] for place, name in enumerate(order)}
            positional(
                shapes, order, [_shape(found.keep.get(place), like) for place, like in lacking.items()]
            )
            return {name: found.keep[str(at)] for at, name in enumerate(order) if str(at) in found.keep}, ()
        positional(shapes, order, [()] * found.places)  # which says how many there should be
    kept = {name: tuple(mask.shape) for name, mask in found.keep.items()}
    beside = {name: tensor.shape for name, tensor in found.weights.items()}
    whole = (
        beside if kept.keys() <= beside.keys() else kept
    )  # names of a whole net say more than those of some weights
    names = names_in(whole, target, scheme, file, ordered=found.ordered)
    lost = [name for name in kept if name not in names.ours]
    if lost:
        raise ArtifactError("E_ARCH_MISMATCH", f"{file}: the net has no place for the mask of {lost[0]}")
    return {names.ours[name]: mask for name, mask in found.keep.items()}, names.notes


def _shape(mask: NDArray[np.bool_] | None, like: Shape) -> Shape:
    return like if mask is None else tuple(mask.shape)


def weights_in(found: Found, target: Target, scheme: str | None, file: str) -> tuple[State, tuple[str, ...]]:
    """All weights and buffers of our net out of what came in a file, in our dtypes, and what is to be told.

    Raises:
        ArtifactError: E_ARCH_MISMATCH, of another net, or one is missing; E_WEIGHTS, a value that is not finite.
    """
    known = {name: value for name, value in found.weights.items() if value.dtype not in ("BOOL", "U8")}
    shapes = {name: tensor.shape for name, tensor in known.items()}
    names = names_in(shapes, target, scheme, file, ordered=found.ordered)
    given = {own: from_tensor(known[name]) for name, own in names.ours.items()}
    ours = target.tensors
    counters = {
        name: torch.zeros(value.shape) for name, value in ours.items() if name.endswith("num_batches_tracked")
    }
    missing = [name for name in ours if name not in given and name not in counters]
    if missing:
        raise ArtifactError("E_ARCH_MISMATCH", f"{file}: its weights lack {listed(missing)}")
    whole = {name: (counters | given)[name].to(value.dtype) for name, value in ours.items()}
    odd = next((name for name, value in whole.items() if not bool(value.isfinite().all())), None)
    if odd is not None:
        raise ArtifactError("E_WEIGHTS", f"{file}: values of {odd} that are NaN or infinite")
    return State(whole, 0), (*names.notes, *_rounded(given, ours))


def _rounded(given: Mapping[str, torch.Tensor], like: Mapping[str, torch.Tensor]) -> list[str]:
    """That weights of another precision became ours."""
    kinds = {
        str(value.dtype).removeprefix("torch.")
        for name, value in given.items()
        if value.dtype != like[name].dtype
    }
    floats = sorted(kind for kind in kinds if "float" in kind)
    return [f"weights of {', '.join(floats)} became float32"] if floats else []


def nested(masks: Sequence[Mask], files: Sequence[str]) -> list[Mask]:
    """Level 0, dense, and below it the masks in their order; those that keep everything are level 0.

    Raises:
        UsageError: a mask keeps a weight that the one before it had lost; says the first such layer. More than 254.
    """
    below = [(mask, file) for mask, file in zip(masks, files, strict=True) if mask.kept < mask.size]
    if not below:
        raise UsageError(f"{files[-1]}: the mask keeps every weight; there is nothing to import")
    levels = [Mask.full(masks[0].shapes())]
    before = "the dense net"
    for mask, file in below:
        for name, keep in mask.keep.items():
            back = int((keep & ~levels[-1].keep[name]).sum())
            if back:
                raise UsageError(
                    f"{file}: keeps {back} weights of {name} that {before} had lost, so these are no levels of one "
                    "ladder; import one of the files alone"
                )
        levels.append(mask)
        before = file
    if levels[-1].kept == 0:
        raise UsageError(f"{before}: the mask keeps no weight at all")
    return levels
