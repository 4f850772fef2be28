"""Layers of a file that lost the net's order: numbers tell layers alike apart, words do not."""

from __future__ import annotations

import pytest

from ticketctl.dialects import jaxpruner
from ticketctl.dialects.tree import Tensor, Tree
from ticketctl.stages.layer_order import placed
from ticketctl.stages.recognised import recognised


def conv_net(*layers: str) -> dict[str, tuple[int, ...]]:
    """Convolutions of 3, then of 8 channels, each with a norm behind it; then a head."""
    found: dict[str, tuple[int, ...]] = {}
    for at, (conv, norm) in enumerate(zip(layers[:-1:2], layers[1:-1:2], strict=True)):
        found |= {f"{conv}.weight": (8, 8 if at else 3, 3, 3)}
        found |= {f"{norm}.{part}": (8,) for part in ("weight", "bias", "running_mean", "running_var")}
    return {**found, f"{layers[-1]}.weight": (10, 8), f"{layers[-1]}.bias": (10,)}


OURS = conv_net("c1", "n1", "c2", "n2", "c3", "n3", "fc")


def pairs(theirs: dict[str, tuple[int, ...]]) -> tuple[dict[str, str], list[str]]:
    found, unknown = placed(OURS, dict(sorted(theirs.items())))
    return {
        other.rpartition(".")[0]: ours.rpartition(".")[0] for ours, other in zip(OURS, found, strict=True)
    }, unknown


def test_convolutions_and_norms_that_are_sorted_by_their_words_are_found_by_their_numbers() -> None:
    named = ("Conv_2", "BatchNorm_2", "Conv_9", "BatchNorm_9", "Conv_10", "BatchNorm_10", "Dense_0")
    found, unknown = pairs(conv_net(*named))
    assert unknown == []
    assert found == dict(zip(named, ("c1", "n1", "c2", "n2", "c3", "n3", "fc"), strict=True))


@pytest.mark.parametrize(
    ("named", "lost"),
    [
        (("a", "b", "c1", "d1", "c2", "d2", "fc"), {"b", "d1", "d2"}),
        (("in", "n1", "left", "n2", "right", "n3", "fc"), {"left", "right"}),
        (("in", "n1", "x.0", "n2", "x.1", "n3", "fc"), set()),
    ],
)
def test_words_alone_tell_no_layers_of_one_form_apart(named: tuple[str, ...], lost: set[str]) -> None:
    assert {name.rpartition(".")[0] for name in pairs(conv_net(*named))[1]} == lost


def test_a_parameter_without_a_layer_is_one_of_its_own() -> None:
    ours = {"token": (1, 4), "head.weight": (2, 4)}
    assert placed(ours, {"head.weight": (2, 4), "token": (1, 4)}) == (ours, [])


def test_what_is_no_such_net_is_handed_on_in_the_order_of_its_numbers() -> None:
    assert placed(OURS, {"l10.weight": (1,), "l9.weight": (1,)}) == (
        {"l9.weight": (1,), "l10.weight": (1,)},
        [],
    )


def test_parameters_that_are_alike_are_unknown_too_where_their_layers_are_cut_otherwise() -> None:
    ours = {f"fc{at}.{part}": shape for at in (1, 2) for part, shape in (("weight", (4, 4)), ("bias", (4,)))}
    theirs = {"in.b.bias": (4,), "in.w.weight": (4, 4), "out.b.bias": (4,), "out.w.weight": (4, 4)}
    assert {*placed(ours, theirs)[1]} == {*theirs}
    assert (
        placed(ours, {name.replace("in.", "1.").replace("out.", "2."): theirs[name] for name in theirs})[1]
        == []
    )


def test_names_out_of_jax_are_in_no_order_of_a_net() -> None:
    layer = {"kernel": Tensor("F32", (1, 2), bytes(8))}
    tree = Tree("m.npz", {"masks": {"Dense_0": layer}, "params": {"Dense_0": layer}})
    assert jaxpruner.read(tree) is not None
    assert not recognised(tree)[1].ordered
