"""Each dialect gives back the mask and weights that were written after its description, and says what breaks it."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.dialects import writers
from tests.dialects.writers import BARE, GOLDEN, KEEP, TORCH, WEIGHTS, flax, saved
from tests.unfenced import unfenced  # noqa: F401  # a fixture for all tests here
from ticketctl.dialects.tree import Found, Tree, unwrapped
from ticketctl.errors import ArtifactError, UsageError
from ticketctl.fence.reader import unpickled
from ticketctl.plugins import describe, load, plugins
from ticketctl.stages.foreign_files import trees
from ticketctl.stages.recognised import recognised
from ticketctl.store.tensors import Tensor


def tree(value: Any) -> Tree:
    return Tree("a.pt", unpickled(saved(value), "a.pt"))


def check(found: Found, weights: bool) -> None:
    keep = dict(zip(KEEP, found.keep.values(), strict=True)) if found.places else {**found.keep}
    for name, expected in KEEP.items():
        assert keep.pop(name).tolist() == expected.tolist()
    assert all(mask.all() for mask in keep.values()), "only masks of ones besides"
    if not weights:
        assert not found.weights
        return
    for name, expected in WEIGHTS.items():
        if expected.dtype == np.int64:
            continue
        whole = KEEP.get(name, True) if not found.exact or found.weights_are == "masked" else True
        np.testing.assert_array_equal(found.weights[name].array(), expected * whole)


@pytest.mark.parametrize("name", TORCH)
def test_a_file_of_each_dialect_is_recognised_and_gives_its_very_mask_and_weights(name):
    said, found = recognised(tree(TORCH[name]()))
    assert said == name.partition("/")[0]
    if said == "coo":
        found = Found(found.keep, found.weights, weights_are="masked")
    check(found, name not in BARE)
    assert found.exact == (said != "zeros")
    assert [mask.dtype for mask in found.keep.values()] == [np.bool_] * len(found.keep)


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("jaxpruner.npz", "jaxpruner"),
        ("sparse_bitmask.safetensors", "compressed-tensors"),
        ("named.npz", "named"),
    ],
)
def test_golden_files_keep_their_meaning(file, name):
    said, found = recognised(next(trees((GOLDEN / file,)))[0])
    assert said == name
    for key, expected in KEEP.items():
        np.testing.assert_array_equal(found.keep[key], expected)
        if found.weights:
            stored = expected if name == "compressed-tensors" else True
            np.testing.assert_array_equal(found.weights[key].array(), WEIGHTS[key] * stored)


def test_golden_files_are_those_that_the_script_writes(tmp_path):
    writers.jaxpruner(tmp_path / "a.npz")
    writers.sparse_bitmask(tmp_path / "b.safetensors")
    assert (tmp_path / "a.npz").read_bytes() == (GOLDEN / "jaxpruner.npz").read_bytes()
    assert (tmp_path / "b.safetensors").read_bytes() == (GOLDEN / "sparse_bitmask.safetensors").read_bytes()


def test_unpacked_masks_of_jaxpruner_mean_the_same_as_packed_ones(tmp_path):
    writers.jaxpruner(tmp_path / "a.npz", packed=False)
    _, found = recognised(next(trees((tmp_path / "a.npz",)))[0])
    for name, expected in KEEP.items():
        np.testing.assert_array_equal(found.keep[name], expected)
    assert flax(WEIGHTS["fc.weight"]).shape == (11, 4)


def test_a_stored_zero_of_a_sparse_tensor_is_a_kept_weight_and_equal_places_add_up():
    twice = torch.sparse_coo_tensor([[0, 0, 1], [1, 1, 2]], [1.5, 2.0, 0.0], (2, 3), check_invariants=True)
    _, found = recognised(tree({"a.weight": twice}))
    assert found.keep["a.weight"].tolist() == [[False, True, False], [False, False, True]]
    assert found.weights["a.weight"].array().tolist() == [[0, 3.5, 0], [0, 0, 0]]


def test_zeros_lose_a_kept_weight_of_zero_and_say_so():
    value = writers.zeros()
    value["fc.weight"][0, 0] = -0.0  # of either sign
    assert KEEP["fc.weight"][0, 0]
    name, found = recognised(tree(value))
    assert (name, found.exact) == ("zeros", False)
    assert not found.keep["fc.weight"][0, 0]
    assert any("kept weight of exactly 0" in note for note in found.notes)
    half = {key: item.bfloat16() if item.is_floating_point() else item for key, item in value.items()}
    np.testing.assert_array_equal(recognised(tree(half))[1].keep["fc.weight"], found.keep["fc.weight"])


def _changed(name: str, change: Any) -> Any:
    value = copy.deepcopy(TORCH[name]())
    change(value)
    return value


def _set(key: str, value: Any) -> Any:
    return lambda state: state.__setitem__(key, value)


BROKEN = {
    "torch-prune": [(_set("fc.weight_mask", torch.full((4, 11), 0.5)), "other than 0 and 1"),
                    (_set("fc.weight_mask", torch.ones(4, 10)), r"\[4, 10\]"),
                    (lambda state: state.pop("fc.weight_mask"), "has no fc.weight_mask")],
    "open-lth/pruned-model": [(_set("mask_fc___weight", torch.ones(2, 2)), r"\[2, 2\]")],
    "turboprune": [(_set("fc.mask", torch.full((4, 11), 2.0)), "other than 0 and 1")],
    "synaptic-flow": [(_set("fc.bias_mask", torch.ones(5)), r"\[5\]")],
    "tost": [(_set("fc.weight_mask", torch.full((4, 11), 3.0)), "other than 0 and 1")],
    "grasp": [(lambda state: state["mask"].update(fc=torch.ones(3)), r"\[3\]"),
              (lambda state: state["mask"].update(fc="all"), "a mask is a tensor")],
    "sparselearning": [(lambda state: state["masks"].update({"fc.weight": torch.ones(3)}), r"\[3\]")],
    "rigl-torch": [(lambda state: state["pruner"].update(backward_masks=[None, None]), "every layer is dense"),
                   (lambda state: state["pruner"].update(backward_masks=[torch.ones(2) / 2]), "other than 0 and 1")],
    "sparsimony": [(lambda state: state.pop("fc.parametrizations.weight.original"), "has no fc.parametrizations")],
    "coo": [(_set("fc.weight", torch.zeros(2, 3, 4).to_sparse(1)), "one value for each")],
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "change", "said"), [(name, *case) for name, cases in BROKEN.items() for case in cases]
)
def test_a_file_with_a_signature_that_breaks_it_is_refused_in_one_line(name, change, said):
    with pytest.raises(ArtifactError, match=said) as refused:
        recognised(tree(_changed(name, change)), name.partition("/")[0])
    assert "\n" not in str(refused.value)
    assert "a.pt" in str(refused.value)


@pytest.mark.parametrize(
    ("part", "value", "said"),
    [
        ("shape", np.array([4, 17]), "cannot hold"), ("shape", np.array([1 << 40, 1 << 40]), "no shape of a weight"),
        ("shape", np.array([-4, 11]), "no shape of a weight"), ("bitmask", np.full((4, 2), 255, np.uint8), "bits keep"),
        ("bitmask", np.zeros((4, 1), np.uint8), "cannot hold"), ("compressed", np.ones(3, np.float32), "3 values"),
        ("row_offsets", np.array([0, 1, 2, 3]), "row_offsets"), ("shape", None, "has no fc.weight.shape"),
    ],
)  # fmt: skip
def test_parts_of_a_bitmask_must_fit_each_other(part, value, said):
    held = dict(next(trees((GOLDEN / "sparse_bitmask.safetensors",)))[0].value)
    held.pop(f"fc.weight.{part}")
    if value is not None:
        held[f"fc.weight.{part}"] = Tensor.of(value)
    with pytest.raises(ArtifactError, match=said):
        recognised(Tree("a.safetensors", held))


def test_jaxpruner_refuses_bits_beyond_the_weights_and_masks_of_nothing():
    held = dict(next(trees((GOLDEN / "jaxpruner.npz",)))[0].value)
    held["masks/fc/kernel"] = Tensor.of(np.full(6, 255, np.uint8))
    with pytest.raises(ArtifactError, match="beyond the 44 weights"):
        recognised(Tree("a.npz", held))
    held["masks/fcc/kernel"] = held.pop("masks/fc/kernel")
    with pytest.raises(ArtifactError, match="no params/fcc/kernel"):
        recognised(Tree("a.npz", held))


def test_places_outside_of_a_sparse_tensor_are_refused():
    from ticketctl.fence.values import Sparse

    for places in ([[0], [9]], [[-1], [0]]):
        leaf = Sparse((2, 3), np.array(places), np.ones(1, np.float32))
        with pytest.raises(ArtifactError, match="outside"):
            recognised(Tree("a.pt", {"w": leaf}))


def test_two_dialects_that_claim_a_file_are_named_and_not_chosen():
    both = {**writers.torch_prune(), **writers.synaptic_flow()}
    with pytest.raises(UsageError, match=r"synaptic-flow or torch-prune; say which with --dialect"):
        recognised(tree(both))
    assert recognised(tree(both), "torch-prune")[0] == "torch-prune"


def test_what_no_dialect_knows_is_refused_with_what_it_holds():
    with pytest.raises(ArtifactError, match=r"epoch \(3\), loss \(0.5\), w \(\[2, 2\]\)"):
        recognised(tree({"epoch": 3, "loss": 0.5, "w": torch.ones(2, 2)}))
    with pytest.raises(ArtifactError, match="not in the dialect tost"):
        recognised(tree(writers.open_lth()), "tost")
    with pytest.raises(UsageError, match="did you mean 'open-lth'"):
        recognised(tree(writers.open_lth()), "openlth")


@pytest.mark.parametrize("name", plugins("dialects"))
def test_a_dialect_takes_nothing_for_its_own_that_is_not(name):
    odd = [None, [], {}, 3, "x", {"a": None}, {"masks": {}}, {"mask": 1, "net": 2}, {"state_dict": {}}, [None], [[]],
           {"backward_masks": 3}, {"params": {}, "masks": {}}, {"state_dict": {"state_dict": {}}}]  # fmt: skip
    read = load("dialects", name).read
    assert [read(Tree("a.pt", value)) for value in odd] == [None] * len(odd)
    text = describe("dialects", name)
    assert re.search(r"Signature: .*Layout: .*Source: ", text, re.DOTALL)


def test_wrappings_and_prefixes_are_taken_off_in_any_order():
    leaf = Tensor.of(np.ones(2, np.float32))
    for value in ({"a.weight": leaf}, {"model": {"module._orig_mod.a.weight": leaf}, "opt": {}},
                  {"epoch": 1, "state_dict": {"_orig_mod.module.a.weight": leaf, "n": 3}}):  # fmt: skip
        assert list(unwrapped(value)) == ["a.weight"]
    assert unwrapped({"module.a": leaf, "b": leaf}).keys() == {"module.a", "b"}


def test_files_are_known_by_their_first_bytes_and_not_by_their_names(tmp_path: Path):
    (tmp_path / "a.pt").write_bytes((GOLDEN / "named.npz").read_bytes())
    (tmp_path / "b.npz").write_bytes(saved(writers.named()))
    (tmp_path / "c.pth").write_bytes((GOLDEN / "sparse_bitmask.safetensors").read_bytes())
    names = [recognised(each)[0] for each, _ in trees(tuple(sorted(tmp_path.iterdir())))]
    assert names == ["named", "named", "compressed-tensors"]
