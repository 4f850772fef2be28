"""Masks of other programs become tickets: the same mask, the same weights, and everything here can spend them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn.utils import prune

from tests.stages import tiny
from tests.unfenced import unfenced  # noqa: F401  # a fixture for all tests here
from ticketctl.artifacts.chain import CHAIN, parse_chain
from ticketctl.artifacts.ticket import Ticket
from ticketctl.artifacts.weights import weights_digest
from ticketctl.errors import ArtifactError, StoppedError, UnavailableError, UsageError
from ticketctl.nets.build import build
from ticketctl.nets.initialise import initialise_
from ticketctl.seeds import Seeds
from ticketctl.stages import bound, importing
from ticketctl.stages.importing import Asked, import_folder, import_recipe, read_import, write_import
from ticketctl.stages.request import Typed

SETS = ("train.epochs=1", "train.batch=256", "data.validation=last:200")
WEIGHTS = ("fc1.weight", "fc2.weight", "fc3.weight")


def net() -> nn.Module:
    """LeNet-300-100 with torch's own layers, and weights of its own."""
    found = nn.Module()
    for number, (inside, outside) in enumerate([(64, 300), (300, 100), (100, 10)], start=1):
        layer = nn.Linear(inside, outside)
        generator = torch.Generator().manual_seed(number)
        for weight in layer.parameters():
            weight.data = torch.randn(weight.shape, generator=generator) / 8
        found.add_module(f"fc{number}", layer)
    return found


def masks(share: float) -> dict[str, torch.Tensor]:
    """Each weight has a fixed lot, so that masks of smaller shares lie within those of larger ones."""
    state, found = net().state_dict(), {}
    for name in WEIGHTS:
        lots = torch.rand(
            state[name].shape, generator=torch.Generator().manual_seed(len(name) + state[name].numel())
        )
        found[name] = lots < share
    return found


def typed(sets: tuple[str, ...] = SETS, model: str = "lenet-300-100") -> Typed:
    return Typed(model=model, data="digits", sets=sets)


def bring(path: Path, workspace: Path, **more: Any) -> Ticket:
    asked = Asked(path, import_recipe(typed(more.pop("sets", SETS))).recipe, **more)
    around = tiny.around(workspace / "cache")
    return write_import(read_import(asked, around), asked, import_folder(asked, workspace), around)


def save(value: Any, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(value, path)
    return path


def check_mask(ticket: Ticket, expected: dict[str, torch.Tensor], level: int | None = None) -> None:
    found = ticket.mask(level)
    assert found.keys() == expected.keys()
    for name, keep in expected.items():
        np.testing.assert_array_equal(found[name], keep.numpy())


def check_start(ticket: Ticket, state: dict[str, torch.Tensor]) -> None:
    found = ticket.init()
    assert found.keys() == state.keys()
    for name, value in state.items():
        np.testing.assert_array_equal(found[name].array(), value.numpy())


@pytest.fixture(scope="module")
def pruned(tmp_path_factory) -> Path:
    """A Lightning checkpoint of a net that torch.nn.utils.prune has pruned."""
    dense = net()
    for name, keep in masks(0.3).items():
        prune.custom_from_mask(dense.get_submodule(name.removesuffix(".weight")), "weight", keep)
    state = {f"model.{name}": value for name, value in dense.state_dict().items()}
    return save(
        {"state_dict": {**state, "metric.total": torch.zeros(1)}, "epoch": 3},
        tmp_path_factory.mktemp("p") / "a.ckpt",
    )


def test_a_lightning_checkpoint_becomes_a_ticket_with_its_very_mask_and_weights(pruned, tmp_path):
    ticket = bring(pruned, tmp_path)
    check_mask(ticket, masks(0.3))
    check_start(ticket, net().state_dict())
    manifest = ticket.manifest
    assert (manifest.draw.method, manifest.draw.rounds, manifest.level) == ("import", 1, 1)
    assert manifest.init.role == "trained"
    assert [level.kept for level in manifest.draw.levels] == [
        50_200,
        sum(int(k.sum()) for k in masks(0.3).values()),
    ]
    said = manifest.ext["ticketctl.import"]
    assert (said["dialect"], said["exact"]) == ("torch-prune", True)
    assert said["files"][0]["size"] == pruned.stat().st_size
    assert "left out, for it lies outside of model.: metric.total" in said["notes"]
    assert any(note.startswith("starts from trained weights") for note in said["notes"])
    (link,) = parse_chain((ticket.folder / CHAIN).read_bytes(), where="chain").links
    assert (link.step, link.made.id) == ("import", manifest.ticket_id)
    assert ticket.folder.parent.parent.parent == tmp_path / "lenet-300-100-digits"
    held = b"".join(path.read_bytes() for path in ticket.folder.iterdir() if path.name != "provenance.json")
    assert str(pruned).encode() not in held
    assert not (ticket.folder.parent / "work").exists()


def test_the_same_import_again_reads_nothing_and_another_goes_elsewhere(pruned, tmp_path, monkeypatch):
    ticket = bring(pruned, tmp_path)
    before = tiny.files_below(tmp_path)
    monkeypatch.setattr(importing, "trees", None)
    asked = Asked(pruned, import_recipe(typed()).recipe)
    folder = import_folder(asked, tmp_path)
    done = importing.imported(folder)
    assert done is not None
    assert done.manifest == ticket.manifest
    assert tiny.files_below(tmp_path) == before
    others = [
        Asked(pruned, import_recipe(typed((*SETS, "train.lr=0.01"))).recipe),
        Asked(pruned, asked.recipe, dialect="torch-prune"),
        Asked(pruned, asked.recipe, init="seed:0"),
        Asked(save(1, tmp_path / "b.pt"), asked.recipe),
    ]
    assert len({folder, *(import_folder(one, tmp_path) for one in others)}) == 5


@pytest.fixture(scope="module")
def levels(tmp_path_factory) -> Path:
    """A run folder of open_lth: the dense level, and three below it."""
    folder = tmp_path_factory.mktemp("replicate_1")
    for level, share in {0: 1.0, 1: 0.6, 2: 0.4, 10: 0.2}.items():
        save(
            {name: keep.int() for name, keep in masks(share).items()}, folder / f"level_{level}/main/mask.pth"
        )
    save(net().state_dict(), folder / "level_0/main/model_ep0_it0.pth")
    save(
        {name: value + 1 for name, value in net().state_dict().items()},
        folder / "level_0/main/model_ep2_it0.pth",
    )
    return folder


def test_a_folder_of_nested_levels_becomes_a_ladder_that_starts_from_its_first_weights(levels, tmp_path):
    ticket = bring(levels, tmp_path)
    assert ticket.manifest.draw.rounds == 3
    for level, share in enumerate([1.0, 0.6, 0.4, 0.2]):
        check_mask(ticket, masks(share), level)
    check_start(ticket, net().state_dict())
    assert ticket.manifest.init.role == "init"
    assert len(ticket.manifest.ext["ticketctl.import"]["files"]) == 5


def test_levels_that_are_not_nested_are_refused_and_one_of_them_can_be_imported(levels, tmp_path):
    late = levels / "level_10/main/mask.pth"
    held = late.read_bytes()
    mask = {name: keep.int() for name, keep in masks(0.2).items()}
    lost = (masks(0.4)["fc2.weight"] == 0).nonzero()[:7]
    mask["fc2.weight"][lost[:, 0], lost[:, 1]] = 1
    save(mask, late)
    try:
        with pytest.raises(
            UsageError,
            match=r"level 3: keeps 7 weights of fc2\.weight that mask\.pth of level 2 had lost.*one",
        ):
            bring(levels, tmp_path)
        ticket = bring(late, tmp_path, init="seed:0")
        assert ticket.manifest.draw.rounds == 1
    finally:
        late.write_bytes(held)


def test_new_weights_are_those_that_a_draw_of_this_seed_begins_with(tmp_path):
    path = save(masks(0.5), tmp_path / "m.pt")
    ticket = bring(path, tmp_path, init="seed:7")
    fresh = build("lenet-300-100", shape=(1, 8, 8), classes=10)
    check_start(ticket, initialise_(fresh, "kaiming-normal", Seeds(7)).state_dict())
    assert ticket.manifest.init.role == "init"
    assert ticket.manifest.draw.seeds["root"] == 7
    assert ticket.folder.parent.name == "seed-7"


def test_weights_of_a_file_are_taken_whatever_form_it_has(pruned, tmp_path):
    path = save(masks(0.5), tmp_path / "m.pt")
    plain = bring(path, tmp_path, init=str(save({"state_dict": net().state_dict()}, tmp_path / "w.pth")))
    check_start(plain, net().state_dict())
    other = bring(path, tmp_path, init=str(pruned))
    check_start(other, net().state_dict())
    assert plain.manifest.ticket_id == other.manifest.ticket_id
    half = bring(
        path,
        tmp_path,
        init=str(save({k: v.half() for k, v in net().state_dict().items()}, tmp_path / "h.pth")),
    )
    check_start(half, {k: v.half().float() for k, v in net().state_dict().items()})
    assert half.manifest.ext["ticketctl.import"]["notes"] == ["weights of float16 became float32"]


def test_a_mask_without_weights_asks_for_them_and_names_both_ways(tmp_path):
    with pytest.raises(UsageError, match=r"--init FILE.*--init seed:N"):
        bring(save(masks(0.5), tmp_path / "m.pt"), tmp_path)
    with pytest.raises(UsageError, match=r"--init seed:x: no such file"):
        bring(tmp_path / "m.pt", tmp_path, init="seed:x")
    with pytest.raises(UsageError, match="--data: a mask says neither"):
        import_recipe(Typed(model="lenet-300-100"))


def _synflow(**changes: torch.Tensor) -> dict[str, torch.Tensor]:
    state = net().state_dict()
    given = {f"{name}_mask": torch.ones_like(value) for name, value in state.items()}
    given |= {f"{name}_mask": keep.float() for name, keep in masks(0.4).items()}
    return {**state, **given, **changes}


def test_masks_of_ones_over_what_is_never_pruned_are_dropped_and_others_refused(tmp_path):
    ticket = bring(save(_synflow(), tmp_path / "a.pt"), tmp_path)
    check_mask(ticket, masks(0.4))
    bias = torch.ones(100)
    bias[:3] = 0
    with pytest.raises(UsageError, match=r"prunes 3 of 100 values of fc2\.bias, which stay dense"):
        bring(save(_synflow(**{"fc2.bias_mask": bias}), tmp_path / "b.pt"), tmp_path)
    with pytest.raises(
        UsageError, match=r"values of fc3\.weight, which stay dense here \(draw\.prunable = paper-004\)"
    ):
        bring(tmp_path / "a.pt", tmp_path, sets=(*SETS, "draw.prunable=paper-004"))


def test_a_list_without_names_goes_to_the_layers_in_order_and_says_so(tmp_path):
    given = [*masks(0.4).values()]
    ticket = bring(save(given, tmp_path / "a.pt"), tmp_path, init="seed:0")
    check_mask(ticket, masks(0.4))
    assert "without names" in ticket.manifest.ext["ticketctl.import"]["notes"][0]
    dense = bring(save({"backward_masks": [None, *given[1:]]}, tmp_path / "b.pt"), tmp_path, init="seed:0")
    check_mask(dense, {**masks(0.4), "fc1.weight": torch.ones(300, 64, dtype=torch.bool)})
    for odd in (given[1:], given[::-1], [*given, given[0]]):
        with pytest.raises(ArtifactError, match="mask"):
            bring(save(odd, tmp_path / "c.pt"), tmp_path, init="seed:0")


def test_masks_and_weights_of_another_net_are_refused(tmp_path):
    wide = {**masks(0.4), "fc2.weight": torch.ones(100, 301, dtype=torch.bool)}
    with pytest.raises(ArtifactError, match=r"not of lenet-300-100.*fc2"):
        bring(save(wide, tmp_path / "a.pt"), tmp_path, init="seed:0")
    with pytest.raises(ArtifactError, match="not of lenet-300-100"):
        bring(
            save({**masks(0.4), "conv9.weight": torch.zeros(2, 2) > 1}, tmp_path / "b.pt"),
            tmp_path,
            init="seed:0",
        )
    good = save(masks(0.4), tmp_path / "c.pt")
    state = dict(net().state_dict())
    state["fc1.weight"].fill_(float("nan"))
    with pytest.raises(ArtifactError, match="NaN or infinite"):
        bring(good, tmp_path, init=str(save(state, tmp_path / "nan.pth")))
    del state["fc2.bias"]
    with pytest.raises(ArtifactError, match=r"lack fc2\.bias"):
        bring(good, tmp_path, init=str(save(state, tmp_path / "less.pth")))


def test_a_mask_of_everything_or_of_nothing_is_refused(tmp_path):
    for share, said in ((1.0, "keeps every weight"), (0.0, "keeps no weight")):
        with pytest.raises(UsageError, match=said):
            bring(save(masks(share), tmp_path / f"{share}.pt"), tmp_path, init="seed:0")


def test_a_mask_of_some_layers_leaves_the_others_dense(tmp_path):
    some = {name: keep for name, keep in masks(0.4).items() if name != "fc3.weight"}
    ticket = bring(save(some, tmp_path / "a.pt"), tmp_path, init="seed:0")
    check_mask(ticket, {**some, "fc3.weight": torch.ones(10, 100, dtype=torch.bool)})
    assert "no mask for fc3.weight: dense" in ticket.manifest.ext["ticketctl.import"]["notes"]


def test_what_was_inferred_from_zeros_is_marked_for_good(tmp_path):
    state = {
        name: value * masks(0.3).get(name, torch.tensor(1.0)) for name, value in net().state_dict().items()
    }
    ticket = bring(save(state, tmp_path / "a.pt"), tmp_path)
    check_mask(ticket, masks(0.3))
    said = ticket.manifest.ext["ticketctl.import"]
    assert (said["dialect"], said["exact"]) == ("zeros", False)
    assert any("cannot be told" in note for note in said["notes"])


def test_zeros_in_what_is_never_pruned_are_no_mask(tmp_path):
    state = {
        name: value * masks(0.3).get(name, torch.tensor(1.0)) for name, value in net().state_dict().items()
    }
    path = save(state, tmp_path / "a.pt")
    ticket = bring(path, tmp_path, sets=(*SETS, "draw.prunable=paper-004"))
    check_mask(ticket, {name: keep for name, keep in masks(0.3).items() if name != "fc3.weight"})
    notes = ticket.manifest.ext["ticketctl.import"]["notes"]
    assert "zeros in fc3.weight are weights: these stay dense here" in notes


def test_a_link_to_a_file_is_followed_and_a_stop_is_heard(levels, tmp_path):
    (tmp_path / "link.pth").symlink_to(levels / "level_1/main/mask.pth")
    check_mask(bring(tmp_path / "link.pth", tmp_path, init="seed:0"), masks(0.6))
    asked = Asked(levels, import_recipe(typed()).recipe)
    with pytest.raises(StoppedError):
        read_import(asked, tiny.around(tmp_path / "cache", lambda: 15))


def test_an_imported_ticket_is_spent_like_any_other(levels, tmp_path):
    ticket = bring(levels, tmp_path)
    dense, sparse = tiny.spend(ticket.folder.parent, levels="3")
    assert dense.run.manifest.start.digest == weights_digest(ticket.init())
    assert sparse.run.manifest.ticket == ticket.ticket_id_at(3)
    assert sparse.run.manifest.start.digest == weights_digest(ticket.init())
    trained = sparse.run.weights()
    for name, keep in masks(0.2).items():
        values = trained[name].array()
        assert not values[~keep.numpy()].any()
        assert values[keep.numpy()].any()


def test_folders_of_no_known_layout_are_refused_with_those_that_are(tmp_path):
    (tmp_path / "x").mkdir()
    with pytest.raises(
        UsageError, match=r"none of level_\*/main/mask\.pth \(open-lth\), .*\*-mask\.pt \(tost\)"
    ):
        bring(tmp_path / "x", tmp_path)
    with pytest.raises(UsageError, match="no such file or folder"):
        bring(tmp_path / "y", tmp_path)


def test_a_turboprune_experiment_starts_from_its_rewind_weights(tmp_path):
    for level, share in enumerate([1.0, 0.5]):
        state = net().state_dict() | {n.replace("weight", "mask"): k.float() for n, k in masks(share).items()}
        save({name: value + level for name, value in state.items()} | {k: v for k, v in state.items() if "mask" in k},
             tmp_path / f"run/checkpoints/model_level_{level}.pt")  # fmt: skip
    save(net().state_dict() | {n.replace("weight", "mask"): k.float() for n, k in masks(1.0).items()},
         tmp_path / "run/checkpoints/model_rewind.pt")  # fmt: skip
    ticket = bring(tmp_path / "run", tmp_path / "w")
    check_mask(ticket, masks(0.5))
    check_start(ticket, net().state_dict())
    assert ticket.manifest.init.role == "rewind"


@pytest.mark.parametrize("names", [("first", "second", "head"), ("0", "2", "10"), ("net.layers.1", "x", "y")])
def test_a_pruned_checkpoint_of_layers_with_names_of_their_own_is_matched_layer_by_layer(names, tmp_path):
    layers = [*net().children()]
    for layer, keep in zip(layers, masks(0.3).values(), strict=True):
        prune.custom_from_mask(layer, "weight", keep)
    state = {
        f"{name}.{part}": value
        for name, layer in zip(names, layers, strict=True)
        for part, value in layer.state_dict().items()
    }
    assert [*state][:2] == [f"{names[0]}.bias", f"{names[0]}.weight_orig"]  # torch's own order, bias first
    ticket = bring(save(state, tmp_path / "a.ckpt"), tmp_path)
    check_mask(ticket, masks(0.3))
    check_start(ticket, net().state_dict())
    assert "names matched by their order and shapes alone" in ticket.manifest.ext["ticketctl.import"]["notes"]


def test_buffers_that_come_first_are_matched_too(tmp_path):
    model = build("resnet20", shape=(3, 32, 32), classes=10)
    state = initialise_(model, "kaiming-normal", Seeds(3)).state_dict()
    named: dict[str, torch.Tensor] = {}
    for at, layer in enumerate(dict.fromkeys(name.rpartition(".")[0] for name in state)):
        parts = [name for name in state if name.rpartition(".")[0] == layer]
        named |= {f"part{at}.{name.rpartition('.')[2]}": state[name] for name in reversed(parts)}
    dead = {name: value.clone() for name, value in named.items()}
    dead["part0.weight"][:3] = 0
    asked = Asked(
        save(dead, tmp_path / "a.pt"), import_recipe(Typed(model="resnet20", data="cifar10")).recipe
    )
    made = read_import(asked, tiny.around(tmp_path))
    assert made.start is not None
    for name, value in state.items():
        want = dead["part0.weight"] if name == "conv1.weight" else value
        np.testing.assert_array_equal(made.start.weights[name].numpy(), want.numpy())


def test_names_that_cannot_be_matched_tell_the_way_out_and_the_code_once(tmp_path):
    state = {f"{name}.{part}": torch.eye(2) / 2 for name in ("one", "fc1") for part in ("weight", "bias")}
    with pytest.raises(ArtifactError) as refused:
        bring(save(state, tmp_path / "a.pt"), tmp_path)
    said = str(refused.value)
    assert said.count("[E_ARCH_MISMATCH]") == 1
    assert "--names SCHEME (ours, torchvision, timm, " in said
    assert "by their order one.weight [2, 2] would be our fc2.weight [100, 300]" in said
    assert "in our order: fc2.weight, fc2.bias, fc3.weight, fc3.bias" in said
    with pytest.raises(ArtifactError, match="leave --names out"):
        bring(tmp_path / "a.pt", tmp_path, names="timm")


def test_no_data_are_asked_for_before_the_file_fits_nor_to_plan(pruned, tmp_path, monkeypatch):
    recipe = import_recipe(Typed(model="resnet20", data="cifar10")).recipe
    with pytest.raises(ArtifactError, match=r"a\.ckpt: not of resnet20"):
        read_import(Asked(pruned, recipe), tiny.around(tmp_path / "cache"))
    assert not (tmp_path / "cache").exists()
    model = build("resnet20", shape=(3, 32, 32), classes=10)
    state = initialise_(model, "kaiming-normal", Seeds(0)).state_dict()
    state["conv1.weight"][0] = 0
    asked = Asked(save(state, tmp_path / "fits.pt"), recipe)
    made = read_import(asked, tiny.around(tmp_path / "cache"))
    assert made.levels[0].size - made.levels[1].kept == 27
    with pytest.raises(UnavailableError, match=r"fits\.pt fits resnet20; what lacks is the data.*--data-dir"):
        write_import(made, asked, import_folder(asked, tmp_path), tiny.around(tmp_path / "cache"))
    assert not import_folder(asked, tmp_path).exists()


@pytest.mark.parametrize(
    ("names", "form", "fits"),
    [
        (("outer", "inner", "zlast"), "pt", True),
        (("outer", "inner", "zlast"), "safetensors", False),
        (("layers.2", "layers.10", "layers.11"), "safetensors", True),
    ],
)
def test_layers_of_one_shape_are_never_swapped_where_a_file_lost_their_order(names, form, fits, tmp_path):
    square = {"fc1.weight": (64, 64), "fc2.weight": (64, 64), "fc3.weight": (10, 64)}
    expected = {
        name: torch.rand(shape, generator=torch.Generator().manual_seed(at)) < 0.5
        for at, (name, shape) in enumerate(square.items())
    }
    theirs = {f"{own}.weight": mask for own, mask in zip(names, expected.values(), strict=True)}
    path = tmp_path / f"m.{form}"
    torch.save(theirs, path) if form == "pt" else save_file(theirs, path)
    asked = {"sets": (*SETS, "model.widths=[64,64]"), "init": "seed:1"}
    if fits:
        check_mask(bring(path, tmp_path, **asked), expected)
        return
    with pytest.raises(
        ArtifactError, match=r"which layers inner\.weight, outer\.weight are.*rename its keys to"
    ):
        bring(path, tmp_path, **asked)


def test_layers_of_other_shapes_are_found_in_any_order_though_their_biases_are_alike(tmp_path):
    given = nn.ModuleDict(
        {"z": nn.Linear(64, 80), "m": nn.Linear(80, 80), "a": nn.Linear(80, 10)}
    ).state_dict()
    ours = dict(
        zip(
            (f"fc{at}.{part}" for at in (1, 2, 3) for part in ("weight", "bias")), given.values(), strict=True
        )
    )
    given["m.weight"][0] = ours["fc2.weight"][0] = 0
    save_file(given, tmp_path / "w.safetensors")
    ticket = bring(tmp_path / "w.safetensors", tmp_path, sets=(*SETS, "model.widths=[80,80]"))
    check_start(ticket, ours)
    assert not ticket.mask()["fc2.weight"][0].any()


def test_where_another_order_would_fit_too_it_is_said() -> None:
    shapes = {"one.weight": (4, 4), "two.weight": (4, 4), "end.weight": (2, 4)}
    found = dict(zip(shapes, ("fc1.weight", "fc2.weight", "fc3.weight"), strict=True))
    ours = dict(zip(found.values(), shapes.values(), strict=True))
    (note,) = bound._by_order(found, shapes, ours, [], "m.pt")
    assert "another order would fit one.weight, two.weight too" in note
