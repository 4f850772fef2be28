"""What is exported is what others read: torch's own pruning, torch, scipy, numpy, onnxruntime, our importer."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import safetensors.torch
import scipy.sparse
import torch
from torch import nn
from torch.nn.utils import prune
from torch.sparse import _semi_structured_conversions as conversions

from tests.stages.test_algebra import CLASSES, SHAPE, ticket
from tests.unfenced import unfenced  # noqa: F401  # a fixture for all tests here
from ticketctl.artifacts.masks import mask_digest
from ticketctl.artifacts.ticket import Ticket
from ticketctl.dialects import open_lth, torch_prune, two_four
from ticketctl.dialects.tree import Tensor, Tree
from ticketctl.errors import ArtifactError, UsageError
from ticketctl.nets.build import build
from ticketctl.plugins import load, plugins
from ticketctl.stages.export import export, export_ladder
from ticketctl.stages.foreign_files import gathered, trees
from ticketctl.stages.forms import FORMS, ONLY_WRITTEN
from ticketctl.stages.recognised import recognised
from ticketctl.train.state import from_tensor

pytestmark = pytest.mark.filterwarnings(
    "ignore:Validating sparse tensor"
)  # torch, of any sparse file it reads
NETS = {"lenet-300-100": {}, "resnet20": {"stem": "cifar"}}
AROUND: Any = None
"""Surroundings matter to nets that tweaks have changed; those here are plain."""


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Ticket]:
    """A ladder of three levels over each net."""
    root = tmp_path_factory.mktemp("drawn")
    return {name: ticket(root / name, 1, name=name, **kwargs) for name, kwargs in NETS.items()}


def net_of(of: Ticket, level: int | None = None) -> nn.Module:
    """The net with its start weights under the mask, in evaluation mode."""
    net = build(of.manifest.arch.name, shape=SHAPE, classes=CLASSES, **of.manifest.arch.kwargs)
    keep = of.mask(level)
    net.load_state_dict(
        {
            name: from_tensor(leaf) * torch.from_numpy(keep.get(name, np.array(True)))
            for name, leaf in of.init().items()
        }
    )
    return net.eval()


def images(count: int = 5) -> torch.Tensor:
    return torch.linspace(-3, 3, count * 64).sin().view(count, *SHAPE)


def found_in(path: Path) -> Any:
    return recognised(next(trees((path,)))[0])


@pytest.mark.long
@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("form", ["torch-prune", "open-lth", "coo", "npz"])
def test_an_exact_form_gives_back_the_very_mask_and_the_very_weights(
    form: str, net: str, drawn: dict[str, Ticket], tmp_path: Path
) -> None:
    of = drawn[net]
    (path,) = export(of, form, tmp_path / "a", AROUND, level=2).files
    said, found = found_in(path)
    assert (said, found.exact) == (form, True)
    if form == "open-lth":
        assert sorted(map(np.count_nonzero, found.keep.values())) == sorted(
            map(np.count_nonzero, of.mask(2).values())
        )
        return
    assert mask_digest(found.keep) == mask_digest(of.mask(2))
    assert found.weights.keys() == of.init().keys()
    for name, leaf in of.init().items():
        kept = of.mask(2).get(name, np.array(True)) if form == "coo" else np.array(True)
        np.testing.assert_array_equal(found.weights[name].array(), leaf.array() * kept)


@pytest.mark.long
@pytest.mark.parametrize("net", NETS)
def test_equal_tickets_are_equal_files_and_the_file_that_lies_there_is_left_alone(
    net: str, drawn: dict[str, Ticket], tmp_path: Path
) -> None:
    for form in ("torch-prune", "open-lth", "coo", "npz", "zeros"):
        assert export(drawn[net], form, tmp_path / form, AROUND).made
        assert not export(drawn[net], form, tmp_path / form, AROUND).made
        with pytest.raises(UsageError, match="another file lies there"):
            export(drawn[net], form, tmp_path / form, AROUND, level=1)


@pytest.mark.parametrize("net", NETS)
def test_torchs_own_pruning_loads_the_file_and_computes_the_masked_net(
    net: str, drawn: dict[str, Ticket], tmp_path: Path
) -> None:
    of = drawn[net]
    export(of, "torch-prune", tmp_path / "a.pth", AROUND)
    pruned = build(net, shape=SHAPE, classes=CLASSES, **NETS[net]).eval()
    for name in of.mask():
        prune.identity(pruned.get_submodule(name.rpartition(".")[0]), "weight")
    pruned.load_state_dict(torch.load(tmp_path / "a.pth", weights_only=True))
    with torch.no_grad():
        torch.testing.assert_close(pruned(images()), net_of(of)(images()), rtol=0, atol=0)
    by_torch = net_of(of)
    for name, keep in of.mask().items():
        prune.custom_from_mask(
            by_torch.get_submodule(name.rpartition(".")[0]), "weight", torch.from_numpy(keep)
        )
    assert {name: value.dtype for name, value in by_torch.state_dict().items()} == {
        name: value.dtype for name, value in pruned.state_dict().items()
    }


def test_masks_of_torchs_pruning_have_the_dtype_of_their_weights() -> None:
    keep = {"a": np.array([True, False, True])}
    for dtype in (torch.bfloat16, torch.float16, torch.float64):
        code = {torch.bfloat16: "BF16", torch.float16: "F16", torch.float64: "F64"}[dtype]
        weight = Tensor(code, (3,), torch.arange(3).to(dtype).view(torch.uint8).numpy().tobytes())
        mask = from_tensor(torch_prune.write(keep, {"a": weight})["a_mask"])
        torch.testing.assert_close(mask, torch.tensor([1, 0, 1], dtype=dtype), rtol=0, atol=0)


def test_dense_weights_with_zeros_load_into_the_plain_net_by_safetensors(
    drawn: dict[str, Ticket], tmp_path: Path
) -> None:
    of = drawn["resnet20"]
    export(of, "zeros", tmp_path / "a.safetensors", AROUND)
    state = safetensors.torch.load_file(tmp_path / "a.safetensors")
    want = net_of(of).state_dict()
    torch.testing.assert_close(state, dict(want), rtol=0, atol=0)
    for name, keep in of.mask().items():
        assert not torch.signbit(state[name][~torch.from_numpy(keep)]).any()
    with safetensors.safe_open(tmp_path / "a.safetensors", "pt") as file:
        assert file.metadata() == {"format": "pt"}
    assert found_in(tmp_path / "a.safetensors")[0] == "zeros"


def test_sparse_tensors_are_the_masked_weights_to_torch_and_to_scipy(
    drawn: dict[str, Ticket], tmp_path: Path
) -> None:
    of = drawn["lenet-300-100"]
    export(of, "coo", tmp_path / "a.pth", AROUND)
    state = torch.load(tmp_path / "a.pth", weights_only=True)
    for name, keep in of.mask().items():
        masked = of.init()[name].array() * keep
        np.testing.assert_array_equal(state[name].to_dense().numpy(), masked)
        same = scipy.sparse.coo_array(masked)
        assert state[name].is_coalesced()
        np.testing.assert_array_equal(state[name].indices().numpy(), np.stack(same.coords))
        np.testing.assert_array_equal(state[name].values().numpy(), same.data)


def test_numpy_alone_reads_the_archive_without_pickles(drawn: dict[str, Ticket], tmp_path: Path) -> None:
    of = drawn["resnet20"]
    export(of, "npz", tmp_path / "a.npz", AROUND)
    with np.load(tmp_path / "a.npz", allow_pickle=False) as file:
        for name, keep in of.mask().items():
            shape = file[f"shape/{name}"]
            bits = np.unpackbits(file[f"bits/{name}"], count=shape.prod(), bitorder="little")
            np.testing.assert_array_equal(bits.reshape(shape), keep)
            np.testing.assert_array_equal(file[f"weights/{name}"], of.init()[name].array())


@pytest.mark.parametrize("net", NETS)
def test_onnxruntime_answers_as_torch_does_from_dense_and_from_sparse_weights(
    net: str, drawn: dict[str, Ticket], tmp_path: Path
) -> None:
    of = drawn[net]
    with torch.no_grad():
        want = net_of(of, 3)(images()).numpy()
    for form in ("onnx", "onnx-sparse"):
        export(of, form, tmp_path / f"{form}.onnx", AROUND, level=3)
        session = onnxruntime.InferenceSession(tmp_path / f"{form}.onnx")
        for count in (5, 1):  # the number of images is open
            (got,) = session.run(["logits"], {"images": images().numpy()[:count]})
            np.testing.assert_allclose(got, want[:count], rtol=1e-5, atol=1e-5 * np.abs(want).max())
    dense, sparse = (onnx.load(tmp_path / f"{form}.onnx").graph for form in ("onnx", "onnx-sparse"))
    thin = {name for name, keep in of.mask(3).items() if 3 * keep.sum() < keep.size}
    assert thin
    assert {one.values.name for one in sparse.sparse_initializer} == thin
    assert {one.name for one in sparse.initializer} == {one.name for one in dense.initializer} - thin
    assert {one.name for one in dense.initializer} == {
        name for name in of.init() if not name.endswith("num_batches_tracked")
    }
    assert (tmp_path / "onnx-sparse.onnx").stat().st_size < (tmp_path / "onnx.onnx").stat().st_size


def test_sparse_onnx_names_the_places_of_the_mask_in_their_order(
    drawn: dict[str, Ticket], tmp_path: Path
) -> None:
    of = drawn["lenet-300-100"]
    export(of, "onnx-sparse", tmp_path / "a.onnx", AROUND, level=3)
    for one in onnx.load(tmp_path / "a.onnx").graph.sparse_initializer:
        places = onnx.numpy_helper.to_array(one.indices)
        assert places.dtype == np.int64
        np.testing.assert_array_equal(places, np.flatnonzero(of.mask(3)[one.values.name]))


def test_a_ladder_is_a_run_folder_of_open_lths_that_is_imported_level_by_level(
    drawn: dict[str, Ticket], tmp_path: Path
) -> None:
    of = drawn["resnet20"]
    done = export_ladder(of, tmp_path / "run")
    foreign = gathered(tmp_path / "run")
    assert [path.parent.parent.name for path in foreign.masks] == ["level_0", "level_1", "level_2", "level_3"]
    for number, (read, _) in enumerate(trees(foreign.masks)):
        keep = recognised(read)[1].keep
        assert sum(mask.sum() for mask in keep.values()) == of.kept_by_level()[number]
        np.testing.assert_array_equal(keep["blocks.1.conv2.weight"], of.mask(number)["layer1.1.conv2.weight"])
    assert foreign.weights == tmp_path / "run/level_0/main/model_ep0_it0.pth"
    state = torch.load(foreign.weights, weights_only=True)
    np.testing.assert_array_equal(state["conv.weight"].numpy(), of.init()["conv1.weight"].array())
    assert done.size == sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
    with pytest.raises(UsageError, match="something lies there"):
        export_ladder(of, tmp_path / "run")


def test_a_net_that_open_lth_has_not_keeps_our_names_and_that_is_said(tmp_path: Path) -> None:
    of = ticket(tmp_path / "ticket", 1, name="resnet20s", stem="cifar")
    done = export(of, "open-lth", tmp_path / "mask.pth", AROUND)
    assert "as ours: open_lth has no net like resnet20s" in done.notes[0]
    keep = found_in(tmp_path / "mask.pth")[1].keep
    assert mask_digest(keep) == mask_digest(of.mask())
    assert all(mask.dtype == "I32" for mask in open_lth.write(keep).values())


# ---------------------------------------------------------------------------------------------------------------- 2:4


def two_of_four(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """A random mask that keeps two of every four along the second axis."""
    rank = np.random.default_rng(seed).random(shape)
    groups = np.moveaxis(rank, 1, -1).reshape(-1, 4)
    keep = np.argsort(np.argsort(groups, axis=1), axis=1) < 2
    return np.moveaxis(keep.reshape(shape[0], *shape[2:], shape[1]), -1, 1)


SHAPES = {"conv.weight": (32, 8, 3, 3), "fc.weight": (5, 20), "odd.weight": (3, 3)}


def weights_of(dtype: Any = np.float32) -> dict[str, Tensor]:
    chance = np.random.default_rng(3)
    found = {name: Tensor.of((chance.random(shape) + 1).astype(dtype)) for name, shape in SHAPES.items()}
    return {**found, "fc.bias": Tensor.of(np.ones(5, np.float32))}


def keep_of() -> dict[str, np.ndarray]:
    keep = {name: two_of_four(SHAPES[name]) for name in ("conv.weight", "fc.weight")}
    return {**keep, "odd.weight": np.ones((3, 3), np.bool_)}


def test_two_of_four_gives_back_mask_and_weights() -> None:
    tensors, filled = two_four.write(keep_of(), weights_of())
    assert filled == 0
    said, found = recognised(Tree("a.safetensors", tensors))
    assert (said, sorted(found.keep)) == ("2:4", ["conv.weight", "fc.weight"])
    for name, leaf in weights_of().items():
        mask = keep_of().get(name, np.array(True))
        if name in found.keep:
            np.testing.assert_array_equal(found.keep[name], mask)
        np.testing.assert_array_equal(found.weights[name].array(), leaf.array() * mask)


def test_values_and_places_are_those_of_torchs_own_conversion_before_its_reordering() -> None:
    shape = (64, 128)
    keep, weight = (
        two_of_four(shape),
        Tensor.of(np.random.default_rng(1).random(shape).astype(np.float16) + 1),
    )
    tensors, _ = two_four.write({"a": keep}, {"a": weight})
    dense = torch.from_numpy(weight.array() * keep)
    values, reordered = conversions.sparse_semi_structured_from_dense_cutlass(dense)
    offsets = conversions._calculate_meta_reordering_scatter_offsets(64, 8, torch.int16, "cpu")
    torch.testing.assert_close(torch.from_numpy(tensors["a.values"].array().copy()), values, rtol=0, atol=0)
    np.testing.assert_array_equal(tensors["a.meta"].array(), reordered.view(-1)[offsets].view(64, 8).numpy())


def test_groups_with_fewer_than_two_are_filled_with_zeros_and_counted() -> None:
    keep = keep_of()
    row, column = np.argwhere(keep["fc.weight"])[7]
    keep["fc.weight"][row, column] = False
    tensors, filled = two_four.write(keep, weights_of())
    assert filled == 1
    found = two_four.read(Tree("a", tensors))
    assert found is not None
    masked = weights_of()["fc.weight"].array() * keep["fc.weight"]
    np.testing.assert_array_equal(found.weights["fc.weight"].array(), masked)
    assert found.keep["fc.weight"].sum() == keep["fc.weight"].sum() + 1


def test_a_mask_that_is_not_two_of_four_is_refused_by_its_layer_and_share() -> None:
    keep = keep_of()
    keep["fc.weight"][0, :4] = True
    with pytest.raises(UsageError, match=r"fc.weight: 96\.0 % of its groups of four inputs"):
        two_four.write(keep, weights_of())
    keep["odd.weight"][0, 0] = False
    del keep["fc.weight"]
    with pytest.raises(UsageError, match=r"odd.weight of shape \[3, 3\] has no groups"):
        two_four.write(keep, weights_of())
    with pytest.raises(UsageError, match="no layer is pruned"):
        two_four.write({"a": np.ones((4, 4), np.bool_)}, {})


@pytest.mark.parametrize(
    ("part", "value", "said"),
    [
        ("meta", np.zeros((5, 2), np.int16), "no two places"), ("meta", np.zeros((5, 2), np.int32), "do not hold"),
        ("values", np.ones((5, 9), np.float32), "do not hold"), ("shape", np.array([5, 18]), "no groups"),
        ("shape", np.array([1 << 40, 1 << 40]), "no shape"), ("shape", None, "has no fc.weight.shape"),
    ],
)  # fmt: skip
def test_parts_of_two_of_four_must_fit_each_other(part: str, value: Any, said: str) -> None:
    tensors, _ = two_four.write(keep_of(), weights_of())
    tensors.pop(f"fc.weight.{part}")
    if value is not None:
        tensors[f"fc.weight.{part}"] = Tensor.of(value)
    with pytest.raises(ArtifactError, match=said):
        two_four.read(Tree("a", tensors))


@pytest.mark.parametrize(
    ("part", "value", "said"),
    [
        ("bits", np.full(5, 255, np.uint8), "beyond the 33"), ("bits", np.zeros(4, np.uint8), "do not hold"),
        ("shape", np.array([-3, -11]), "no shape"), ("shape", None, "has no shape/fc.weight"),
    ],
)  # fmt: skip
def test_parts_of_an_archive_must_fit_each_other(part: str, value: Any, said: str) -> None:
    held = {
        "bits/fc.weight": Tensor.of(np.zeros(5, np.uint8)),
        "shape/fc.weight": Tensor.of(np.array([3, 11])),
    }
    held.pop(f"{part}/fc.weight")
    if value is not None:
        held[f"{part}/fc.weight"] = Tensor.of(value)
    with pytest.raises(ArtifactError, match=said):
        load("dialects", "npz").read(Tree("a.npz", {**held, "bits/a": Tensor.of(np.zeros(0, np.uint8)),
                                                    "shape/a": Tensor.of(np.array([0]))}))  # fmt: skip


# --------------------------------------------------------------------------------------------------------------- forms


def test_every_form_is_a_dialect_that_writes_or_is_said_to_be_written_only() -> None:
    known = plugins("dialects")
    writers = {name for name in known if hasattr(load("dialects", name), "write")}
    assert writers == {name for name, one in known.items() if one.facts.get("export") == "yes"}
    assert set(FORMS) == writers | ONLY_WRITTEN.keys()


def test_what_is_no_ticket_file_any_more_is_not_exported(tmp_path: Path) -> None:
    of = ticket(tmp_path / "ticket", 1)
    path = of.folder / "rewind.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\xff")
    with pytest.raises(ArtifactError, match="not exported") as refused:
        export(of, "npz", tmp_path / "a.npz", AROUND)
    assert str(refused.value).count("[E_") == 1
    assert not (tmp_path / "a.npz").exists()


def test_nothing_but_tensors_is_in_a_file_of_torch_save(drawn: dict[str, Ticket], tmp_path: Path) -> None:
    for form in ("torch-prune", "coo", "open-lth"):
        (path,) = export(drawn["lenet-300-100"], form, tmp_path / form, AROUND).files
        state = torch.load(io.BytesIO(path.read_bytes()), weights_only=True)
        assert type(state) is dict
        assert all(type(value) is torch.Tensor for value in state.values())
