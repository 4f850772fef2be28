"""Compositional neurons: units made by hand, and every formula there is against the search (T19)."""

from __future__ import annotations

import itertools
import json
import re

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F

from tests.metrics.specimens import exam_of, random_images, specimen
from ticketctl.data.segmented import packed
from ticketctl.errors import UsageError
from ticketctl.metrics import compositional as module
from ticketctl.metrics._compositional import (
    AND,
    AND_NOT,
    OR,
    Chain,
    Concepts,
    concepts_of,
    grown,
    overlap,
    places,
    search,
    words,
)
from ticketctl.metrics.compositional import Params, measure, price
from ticketctl.train.exam import Absent

NAMES = ["a", "b", "c", "d", "e"]


def world(seed, count=5, images=6, pixels=70):
    """Random masks [concepts, images, pixels], some absent from some images, and the same as rows of bits."""
    draws = np.random.default_rng(seed)
    masks = draws.random((count, images, pixels)) < draws.uniform(0.1, 0.6, (count, 1, 1))
    masks &= draws.random((count, images, 1)) < 0.7
    rows = [(n, c) for n in range(images) for c in range(count) if masks[c, n].any()]
    image, concept = np.array(rows).T
    return masks, Concepts(count, image, concept, packed(masks[concept, image]))


def truth(formula, masks):
    """Where a formula holds, by bools."""
    if isinstance(formula, int):
        return masks[formula]
    parts = [truth(part, masks) for part in formula.parts]
    found = np.logical_or.reduce(parts) if formula.any_of else np.logical_and.reduce(parts)
    for concept in formula.barred:
        found = found & ~masks[concept]
    return found


def iou(one, other):
    return (one & other).sum() / ((one | other).sum() + 1e-10)


def every(masks, length):
    """The value of every chain of steps from left to right, written without formulas."""
    level = [masks[c] for c in range(len(masks))]
    yield from level
    for _ in range(length - 1):
        level = [new for old in level for mask in masks for new in (old | mask, old & mask, old & ~mask)]
        yield from level


@pytest.mark.parametrize("seed", range(8))
def test_a_wide_search_finds_the_best_of_all_formulas(seed) -> None:
    masks, concepts = world(seed, count=4)
    unit = np.random.default_rng(seed + 100).random(masks.shape[1:]) < 0.3
    for length in (1, 2, 3):
        found = search(packed(unit), concepts, length=length, beam=10**5)
        best = max(iou(unit, mask) for mask in every(masks, length))
        assert found.iou == pytest.approx(best, abs=1e-12)
        assert iou(unit, truth(found.formula, masks)) == pytest.approx(best, abs=1e-12)
        assert len(concepts_of(found.formula)) <= length
        assert found.atomic_iou == pytest.approx(max(iou(unit, mask) for mask in masks), abs=1e-12)
        assert iou(unit, masks[found.atomic]) == pytest.approx(found.atomic_iou, abs=1e-12)


@pytest.mark.parametrize("seed", range(8))
def test_a_unit_that_is_a_formula_is_found_by_a_narrow_search(seed) -> None:
    masks, concepts = world(seed)
    steps = list(itertools.product((OR, AND, AND_NOT), repeat=2))
    for (one, two), (a, b, c) in zip(steps, itertools.permutations(range(5), 3), strict=False):
        formula = grown(grown(a, one, b), two, c)
        unit = truth(formula, masks)
        if unit.any():
            found = search(packed(unit), concepts, length=3, beam=60)
            assert found.iou == pytest.approx(1, abs=1e-9), words(formula, NAMES)
            assert (truth(found.formula, masks) == unit).all()


def test_longer_formulas_and_wider_beams_are_never_worse_and_seeds_do_not_matter() -> None:
    masks, concepts = world(3)
    unit = packed(np.random.default_rng(4).random(masks.shape[1:]) < 0.2)
    by_length = [search(unit, concepts, length=length, beam=5).iou for length in (1, 2, 3, 4)]
    assert by_length == sorted(by_length)
    assert search(unit, concepts, length=3, beam=5) == search(unit, concepts, length=3, beam=5)
    assert search(unit, concepts, length=3, beam=500).iou >= by_length[2]
    limited = search(unit, concepts, length=3, beam=5, candidates=1)
    assert set(concepts_of(limited.formula)) == {limited.atomic}


def test_formulas_that_swapping_makes_the_same_are_the_same_and_mean_the_same() -> None:
    masks, _ = world(5)
    meanings: dict[object, np.ndarray] = {}
    for one, two in itertools.product((OR, AND, AND_NOT), repeat=2):
        for a, b, c in itertools.permutations(range(4), 3):
            formula = grown(grown(a, one, b), two, c)
            left = {OR: masks[a] | masks[b], AND: masks[a] & masks[b], AND_NOT: masks[a] & ~masks[b]}[one]
            meaning = {OR: left | masks[c], AND: left & masks[c], AND_NOT: left & ~masks[c]}[two]
            assert (truth(formula, masks) == meaning).all()
            assert sorted(concepts_of(formula)) == sorted((a, b, c))
            if formula in meanings:
                assert (meanings[formula] == meaning).all()
            meanings[formula] = meaning
    # of three concepts: 1 or, 1 and, 3 (a or b) and c, 3 (a or b) and not c, 3 (a and b) or c, 3 a and b and not c,
    # 6 (a and not b) or c, 3 a and not b and not c
    assert len(meanings) == 4 * 23
    assert grown(grown(0, AND, 2), AND_NOT, 1) == grown(grown(0, AND_NOT, 1), AND, 2)
    assert grown(1, OR, 0) == grown(0, OR, 1) == Chain(True, (0, 1))


def test_a_round_keeps_no_formula_twice(monkeypatch) -> None:
    masks, concepts = world(6)
    unit = packed(masks[0] | masks[1] | masks[2])
    kept = []
    best = module_round().best

    def noted(self, *rest):
        found = list(best(self, *rest))
        kept.append([entry.formula for entry in found])
        return iter(found)

    monkeypatch.setattr(module_round(), "best", noted)
    assert search(unit, concepts, length=3, beam=12).formula == Chain(True, (0, 1, 2))
    assert [len(found) for found in kept] == [12, 12]
    assert all(len(set(found)) == len(found) for found in kept)


def module_round():
    from ticketctl.metrics import _compositional

    return _compositional._Round


def test_overlap_is_symmetric_and_or_never_shrinks_a_mask() -> None:
    masks, concepts = world(7)
    bits = [packed(mask) for mask in masks]
    for one, other in itertools.combinations(range(5), 2):
        assert overlap(bits[one], bits[other]) == overlap(bits[other], bits[one])
        assert overlap(bits[one], bits[other]) == pytest.approx(iou(masks[one], masks[other]), abs=1e-12)
        assert places(bits[one] | bits[other]) >= max(places(bits[one]), places(bits[other]))
        assert (concepts.mask(one, 6) == bits[one]).all()
    assert concepts.sizes.tolist() == masks.sum((1, 2)).tolist()
    assert concepts.shared(bits[0]).tolist() == (masks & masks[0]).sum((1, 2)).tolist()
    assert overlap(bits[0], bits[0]) == pytest.approx(1)


def test_formulas_read_as_they_mean() -> None:
    assert words(2, NAMES) == "c"
    assert words(grown(grown(3, OR, 0), AND_NOT, 1), NAMES) == "(a OR d) AND NOT b"
    assert words(grown(grown(3, AND_NOT, 0), OR, 1), NAMES) == "b OR (d AND NOT a)"
    assert words(grown(grown(3, AND_NOT, 2), AND, 1), NAMES) == "b AND d AND NOT c"


# ------------------------------------------------------------------------------------------- squares, discs and a net

RED, BLUE, SQUARE, DISC = range(4)
SIDE = 24


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    """Red and blue squares and discs on grey; discs are a little green, so that a filter can tell them."""
    root = tmp_path_factory.mktemp("toy")
    for part in ("images", "masks"):
        (root / part).mkdir()
    draws = np.random.default_rng(0)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    for number in range(60):
        image = np.full((SIDE, SIDE, 3), 60, np.uint8)
        masks = np.zeros((4, SIDE, SIDE), bool)
        for left in (0, SIDE // 2):
            colour, shape = draws.integers(0, 2), draws.integers(2, 4)
            y, x = draws.integers(5, SIDE - 5), left + draws.integers(5, SIDE // 2 - 4)
            inside = np.maximum(abs(rows - y), abs(columns - x)) <= 4
            if shape == DISC:
                inside = (rows - y) ** 2 + (columns - x) ** 2 <= 17
            image[inside] = (220, 0, 0) if colour == RED else (0, 0, 220)
            image[inside, 1] = 90 if shape == DISC else 0
            masks[[colour, shape]] |= inside
        image += draws.integers(0, 9, image.shape, dtype=np.uint8)  # no two values are quite the same
        Image.fromarray(image).save(root / "images" / f"{number}.png")
        np.savez(root / "masks" / f"{number}.npz", masks)
    listed = [
        {"id": place + 1, "name": name, "category": "shape" if place > 1 else "color"}
        for place, name in enumerate(("red", "blue", "square", "disc"))
    ]
    (root / "concepts.json").write_text(json.dumps(listed))
    return root


class Filters(nn.Module):
    """Units: red and not green; blue; red or blue; nothing; everywhere the same."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.act, self.fc = nn.Conv2d(3, 5, 1), nn.ReLU(), nn.Linear(5, 2)
        weight = torch.tensor([[1.0, -4, 0], [0, 0, 1], [1, 0, 1], [-1, -1, -1], [0, 0, 0]])
        with torch.no_grad():
            self.conv.weight.copy_(weight[:, :, None, None])
            self.conv.bias.copy_(torch.tensor([-0.3, -0.3, -0.6, 0, 0.2]))
            for value in self.fc.parameters():
                value.fill_(0.1)

    def forward(self, x):
        return self.fc(self.act(self.conv(x)).mean((2, 3)))


def filtered(toy, net=None, **keys):
    images = random_images(2, (3, SIDE, SIDE), 2)
    exam = exam_of(specimen(net or Filters(), *images, classes=2))
    return measure(exam, params=Params(**{"folder": str(toy), "quantile": 0.4, **keys}))


def test_units_that_a_filter_makes_are_named_by_their_formulas(toy) -> None:
    found = filtered(toy)
    lines = bytes(found.arrays["formulas"]).decode().splitlines()
    assert lines[0] in ("red AND square", "red AND NOT disc")
    assert lines[1] == "blue"
    assert set(lines[2].split(" OR ")) in ({"red", "blue"}, {"square", "disc"})
    assert lines[3:] == ["", ""]
    assert (found.arrays["iou"][:3] > 0.9).all()
    assert found.arrays["iou"][0] > found.arrays["atomic"][0] + 0.2
    assert found.arrays["length"].tolist() == [2, 1, 2, 0, 0]
    assert found.protocol["layer"] == "act"
    best = found.protocol["best"][0]
    assert best["formula"] == lines[best["unit"]]


def test_dead_units_count_as_nothing_and_are_listed(toy) -> None:
    found = filtered(toy)
    assert found.arrays["dead"].tolist() == [0, 0, 0, 1, 1]
    assert (found.protocol["dead"], found.protocol["dead_units"]) == (2, [3, 4])
    assert found.arrays["iou"][3:].tolist() == [0, 0]
    iou_of = found.arrays["iou"]
    assert found.values["compositional.mean"].value == pytest.approx(iou_of.mean())
    assert found.values["compositional"].value == pytest.approx(iou_of.mean())
    assert found.values["compositional.atomic"].value == pytest.approx(found.arrays["atomic"].mean())
    assert filtered(toy, top=2).values["compositional"].value == pytest.approx(np.sort(iou_of)[-2:].mean())
    assert next(iter(found.values)) == "compositional"


def test_maps_smaller_than_the_masks_are_spread_as_torch_spreads_them(toy) -> None:
    net = Filters()
    net.conv.stride = (3, 3)
    share = 0.1
    found = filtered(toy, net, quantile=share, length=1)
    x = np.stack([np.asarray(Image.open(toy / "images" / f"{n}.png")) for n in sorted(range(60), key=str)])
    with torch.no_grad():
        maps = net.act(net.conv(torch.from_numpy(x).permute(0, 3, 1, 2).float() / 255))
        spread = F.interpolate(maps, (SIDE, SIDE), mode="bilinear")
    masks = np.stack(
        [np.load(toy / "masks" / f"{n}.npz")["arr_0"] for n in sorted(range(60), key=str)], axis=1
    )
    for unit in range(3):
        values = np.sort(maps[:, unit].numpy().ravel())
        threshold = values[len(values) - int(share * len(values)) - 1]
        assert found.arrays["threshold"][unit] == pytest.approx(threshold, abs=1e-6)
        assert 0 < (values > threshold).mean() <= share
        fired = spread[:, unit].numpy() > threshold
        assert found.arrays["atomic"][unit] == pytest.approx(
            max(iou(fired, mask) for mask in masks), abs=2e-3
        )


def test_batches_do_not_matter(toy, monkeypatch) -> None:
    once = filtered(toy)
    monkeypatch.setattr(module, "batch_on", lambda device: 7)
    monkeypatch.setattr(module, "SPREAD", 11)
    again = filtered(toy)
    assert again.values == once.values
    assert again.protocol == once.protocol


def test_a_layer_is_a_module_or_an_activation(toy) -> None:
    by_name = filtered(toy, layer="act")
    assert by_name.values == filtered(toy).values
    before = filtered(toy, layer="conv")
    assert before.protocol["layer"] == "conv"
    assert before.arrays["dead"].tolist() == [0, 0, 0, 0, 1]

    class Called(Filters):
        def forward(self, x):
            return self.fc(F.relu(self.conv(x), inplace=True).mean((2, 3)))

    called = filtered(toy, Called())
    assert called.protocol["layer"] == "relu"
    assert called.values == by_name.values
    assert (filtered(toy, Called(), layer="conv").arrays["iou"] == before.arrays["iou"]).all()


def test_fewer_images_are_taken_if_asked(toy) -> None:
    found = filtered(toy, images=10)
    assert found.protocol["images"] == 10
    assert found.protocol["set"] != filtered(toy).protocol["set"]


def test_without_a_folder_or_a_map_there_is_nothing_to_measure(toy) -> None:
    with pytest.raises(Absent, match=r"no --set metrics\.compositional\.folder=DIR with segmented images"):
        filtered("")
    flat = nn.Sequential(nn.Flatten(), nn.Linear(3 * SIDE * SIDE, 4), nn.ReLU(), nn.Linear(4, 2))
    with pytest.raises(Absent, match="no activation of this net has positions"):
        filtered(toy, flat)


@pytest.mark.parametrize(
    ("key", "value", "words_"),
    [
        ("images", -1, "= -1 must be 0 (all) or more"), ("length", 0, "= 0 must be from 1"), ("beam", 0, "at least 1"),
        ("candidates", -1, "0 (all)"), ("quantile", 1.0, "between 0 and 1"), ("top", 0, "at least 1"),
        ("layer", "cnov", "there is no such layer; did you mean 'conv'?"),
        ("layer", "fc", "gives [N, 2]; a layer with maps"),
        ("folder", "/nowhere", "/nowhere is not a folder"),
    ],
)  # fmt: skip
def test_keys_that_cannot_be_are_refused_by_name(toy, key, value, words_) -> None:
    with pytest.raises(UsageError, match=re.escape(words_)) as caught:
        filtered(toy, **{key: value})
    assert key == "folder" or f"metrics.compositional.{key}" in str(caught.value)


def test_the_net_is_left_as_it_was(toy) -> None:
    net = Filters()
    filtered(toy, net)
    assert not any(layer._forward_hooks or layer._forward_pre_hooks for layer in net.modules())
    assert all(value.grad is None for value in net.parameters())


def test_the_price_is_that_of_the_images_that_are_there(toy, tmp_path) -> None:
    assert price({}, Params()) == price({}, Params(folder=str(tmp_path / "nowhere"))) == 0
    assert price({}, Params(folder=str(toy))) == price({}, Params(folder=str(toy), images=0)) == 60
    assert price({}, Params(folder=str(toy), images=7)) == 7
    (tmp_path / "index.csv").write_text("image,sh,sw\n" + 2500 * "a.jpg,1,1\n")
    assert price({}, Params(folder=str(tmp_path))) == 2000
    assert price({}, Params(folder=str(tmp_path), images=0)) == 2500


def test_a_unit_whose_quantile_is_its_least_value_is_not_dead_where_it_fires(toy) -> None:
    net = Filters()
    with torch.no_grad():
        net.conv.bias[0] = -0.7  # 0 in more than six tenths of all places
    found = filtered(toy, net)
    assert found.arrays["threshold"][0] == 0
    assert found.arrays["dead"][0] == 0
    assert found.arrays["iou"][0] > 0.1


@pytest.mark.parametrize(("images", "enough"), [(49, False), (50, True)])
def test_so_few_positions_that_no_unit_could_fire_make_the_metric_absent_not_its_units_dead(
    toy, images, enough
) -> None:
    net = Filters()
    net.conv.stride = (SIDE // 2, SIDE // 2)  # maps of 2 x 2
    with torch.no_grad():
        net.conv.weight.zero_()
        net.conv.bias.fill_(0.1)
        net.conv.weight[:3].fill_(1.0)  # of pixels, no two of which are quite the same
    if enough:
        found = filtered(toy, net, quantile=0.005, images=images)
        assert found.arrays["dead"].tolist() == [0, 0, 0, 1, 1]
    else:
        with pytest.raises(
            Absent, match=r"0\.005 of 196 positions \(49 images, maps of \[2, 2\]\) is none: show"
        ):
            filtered(toy, net, quantile=0.005, images=images)


@pytest.mark.gpu
def test_a_gpu_finds_what_the_cpu_finds(toy) -> None:
    from tests.metrics.test_pac_bayes import on_gpu

    one = specimen(Filters(), *random_images(2, (3, SIDE, SIDE), 2), classes=2)
    params = Params(folder=str(toy), quantile=0.4)
    here, there = (measure(exam_of(each), params=params) for each in (one, on_gpu(one)))
    assert there.arrays["iou"] == pytest.approx(here.arrays["iou"], abs=1e-3)
