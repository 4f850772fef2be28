"""Compression Position: closed forms, a plain loop over epochs and images, and the table that paper 000 prints."""

from __future__ import annotations

import json
import time
from copy import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from scipy.stats import rankdata
from torch import nn

from tests.metrics.specimens import exam_of, random_images, specimen
from ticketctl.errors import StoppedError, UnavailableError, UsageError
from ticketctl.masks.select import top
from ticketctl.metrics import _clip, _embedding, _tsne
from ticketctl.metrics._embedding import drawn, ellipses, penultimate, spread
from ticketctl.metrics._position import centred, ranked, table
from ticketctl.metrics.compression_position import Params, content, measure, price
from ticketctl.train.exam import Absent, History

COUNTS = np.array(
    [[3251, 2961, 3160, 2436, 2441, 2901, 2968, 3608, 3417, 2753],
     [1298, 1707, 1364, 1554, 1596, 1553, 1533, 1168, 1340, 1664],
     [346, 306, 379, 710, 756, 439, 420, 185, 199, 520], [105, 26, 97, 300, 207, 107, 79, 39, 44, 63]]
)  # fmt: skip
"""CIFAR-10N: images whose class 0, 1, 2, 3 people got wrong, by class."""
PRINTED = np.array([
    [452, 295, 554, 639, 482, 551, 425, 429, 357, 400], [547, 329, 632, 722, 548, 628, 482, 493, 439, 479],
    [676, 389, 741, 808, 653, 699, 572, 710, 592, 588], [783, 542, 823, 862, 760, 826, 665, 769, 720, 695],
    [580, 612, 499, 494, 166, 460, 257, 524, 470, 567], [671, 640, 573, 601, 217, 540, 303, 570, 522, 613],
    [790, 666, 678, 721, 292, 625, 376, 737, 631, 676], [841, 764, 772, 796, 392, 754, 461, 808, 762, 710],
    [739, 685, 604, 696, 187, 486, 400, 173, 223, 543], [796, 709, 665, 763, 217, 538, 439, 212, 253, 578],
    [868, 733, 745, 836, 280, 581, 517, 383, 363, 625], [912, 808, 822, 880, 366, 701, 574, 468, 494, 655],
    [742, 635, 579, 640, 45, 504, 349, 471, 313, 452], [798, 666, 643, 721, 53, 563, 395, 523, 350, 492],
    [870, 696, 727, 800, 66, 623, 479, 700, 452, 546], [906, 797, 797, 851, 79, 753, 547, 767, 577, 583],
    [752, 651, 578, 532, 108, 500, 487, 261, 289, 551], [812, 678, 643, 614, 135, 554, 527, 315, 327, 597],
    [889, 711, 728, 703, 175, 616, 598, 500, 428, 657], [919, 820, 800, 775, 234, 736, 647, 593, 539, 709],
    [761, 691, 472, 441, 49, 571, 364, 758, 246, 429], [817, 720, 525, 495, 55, 615, 401, 787, 279, 466],
    [885, 748, 586, 568, 67, 665, 469, 881, 373, 513], [911, 854, 652, 623, 79, 758, 522, 911, 465, 534],
    [798, 770, 296, 387, 56, 618, 206, 824, 308, 622], [835, 787, 317, 411, 61, 647, 214, 835, 331, 647],
    [882, 807, 342, 439, 69, 678, 241, 893, 399, 677], [902, 863, 363, 469, 81, 741, 257, 929, 469, 699],
]).reshape(7, 4, 10) / 1000  # fmt: skip
"""Paper 000, Table 2: mean CP of the dense phase and of six pruning rates, by hardness and class."""


# -------------------------------------------------------------------------------------------- counts to positions


@pytest.mark.parametrize("most", [0, 1, 3, 30, 10**6])
def test_the_mean_is_n_plus_one_over_two_n_whatever_is_tied(most) -> None:
    counts = np.random.default_rng(most).integers(0, most + 1, 777)
    found = ranked(counts)
    assert found.mean() == pytest.approx((777 + 1) / (2 * 777), abs=1e-13)
    assert found.min() > 0
    assert found.max() <= 1


def test_ranks_are_scipys_average_ranks_of_the_falling_counts() -> None:
    counts = np.random.default_rng(0).integers(0, 12, 500)
    np.testing.assert_array_equal(ranked(counts), rankdata(-counts, method="average") / 500)


def test_what_is_right_in_every_epoch_alike_lies_in_the_middle() -> None:
    np.testing.assert_array_equal(ranked(np.full(9, 4)), np.full(9, 10 / 18))


def test_small_is_compressed_early() -> None:
    assert ranked(np.array([1, 9, 5])).tolist() == [1, 1 / 3, 2 / 3]


def images_of(counts) -> tuple[np.ndarray, np.ndarray]:
    """Class and hardness of as many images as CIFAR-10N has of each."""
    hardness, classes = np.divmod(np.repeat(np.arange(40), counts.ravel()), 10)
    return classes, hardness


def test_the_printed_table_weighted_by_counts_has_the_mean_that_the_definition_says() -> None:
    classes, hardness = images_of(COUNTS)
    assert len(classes) == 50_000
    for block in PRINTED:
        cp = block[hardness, classes]
        assert 0.4999 <= round(cp.mean(), 4) <= 0.5001  # printed to three decimals; (N + 1) / 2N = 0.50001
        np.testing.assert_allclose(table(cp, classes, hardness, (10, 4)), block.T, rtol=1e-12)


def test_in_the_printed_table_hard_images_come_late_within_their_class_alone_at_the_highest_rate() -> None:
    classes, hardness = images_of(COUNTS)
    nothing = np.zeros_like(hardness)
    dense, sparse = (block[hardness, classes] for block in (PRINTED[0], PRINTED[6]))
    over_all = [table(cp, hardness, nothing, (4, 1))[:, 0].round(3).tolist() for cp in (dense, sparse)]
    assert over_all == [[0.453, 0.528, 0.658, 0.786], [0.503, 0.502, 0.479, 0.478]]
    within = table(centred(sparse, classes, 10), hardness, nothing, (4, 1))[:, 0]
    assert (np.diff(within) > 0).all()
    assert centred(sparse, classes, 10).mean() == pytest.approx(sparse.mean(), abs=1e-12)


def test_a_cell_without_images_has_no_number() -> None:
    found = table(np.array([0.2, 0.4, 0.9]), np.array([0, 0, 2]), np.array([1, 1, 0]), (3, 2))
    np.testing.assert_allclose(found, [[np.nan, 0.3], [np.nan, np.nan], [0.9, np.nan]])


# ------------------------------------------------------------------------------------------------------ of a net

SHAPE, N = (3, 4, 4), 60


class Net(nn.Module):
    """A convolution, BatchNorm, a Linear layer."""

    def __init__(self, seed) -> None:
        super().__init__()
        self.conv, self.norm, self.fc = nn.Conv2d(3, 6, 3, bias=False), nn.BatchNorm2d(6), nn.Linear(24, 4)
        numbers = np.random.default_rng(seed)
        with torch.no_grad():
            for value in [*self.parameters(), self.norm.running_mean]:
                value.copy_(torch.from_numpy(numbers.normal(size=tuple(value.shape))))
            self.norm.running_var.uniform_(0.5, 1.5, generator=torch.Generator().manual_seed(seed))

    def forward(self, x):
        return self.fc(torch.relu(self.norm(self.conv(x))).flatten(1))


NAMES = ("conv.weight", "fc.weight")
KEPT = 120


def sized(net) -> dict[str, torch.Tensor]:
    return {name: net.get_parameter(name).detach().abs() for name in NAMES}


def states(epochs) -> dict[int, dict[str, torch.Tensor]]:
    return {epoch: Net(epoch + 10).state_dict() for epoch in epochs}


def exam(known, *, dense=False):
    net = Net(0)
    mask = None if dense else top(sized(net), KEPT)
    one = specimen(net, *random_images(N, SHAPE, 4), mask=mask, classes=4, mean=(0.4,) * 3, std=(0.3,) * 3)
    return replace(exam_of(one), history=History({}, tuple(known), known.__getitem__))


def found_in(known, *, dense=False, **keys):
    return measure(exam(known, dense=dense), params=Params(**keys))


def by_hand(known, count) -> np.ndarray:
    """How often each image is right, with all but the `count` largest weights put to 0 one by one."""
    pixels, labels = random_images(N, SHAPE, 4)
    x, right = (torch.from_numpy(pixels).float() / 255 - 0.4) / 0.3, np.zeros(N, dtype=int)
    for state in known.values():
        net = Net(0)
        net.load_state_dict(state)
        places = [
            (float(v.abs()), -n, i)
            for n, name in enumerate(NAMES)
            for i, v in enumerate(state[name].view(-1))
        ]
        with torch.no_grad():
            for _, number, place in sorted(places, key=lambda one: (-one[0], -one[1], one[2]))[count:]:
                net.get_parameter(NAMES[-number]).view(-1)[place] = 0
            right += (net.eval()(x).argmax(1).numpy() == labels).astype(int)
    return right


def test_counts_are_those_of_a_loop_over_epochs_and_weights() -> None:
    known = states((1, 2, 4, 7))
    found = found_in(known)
    psi = by_hand(known, KEPT)
    assert found.arrays["psi"].tolist() == psi.tolist()
    assert len({*psi.tolist()}) > 3
    np.testing.assert_allclose(found.arrays["cp"], rankdata(-psi) / N, rtol=1e-6)
    assert found.arrays["cp"].dtype == np.float32
    assert found.arrays["accuracy"].sum() == pytest.approx(psi.sum() / N)
    assert found.values["compression-position"].value == pytest.approx((N + 1) / (2 * N), abs=1e-14)
    assert found.values["compression-position.spread"].value == pytest.approx((rankdata(-psi) / N).std())
    assert next(iter(found.values)) == "compression-position"
    _, labels = random_images(N, SHAPE, 4)
    for name in range(4):
        own = (rankdata(-psi) / N)[labels == name]
        row = found.values[f"compression-position.class-{name}"]
        assert (row.value, row.n) == (pytest.approx(own.mean()), len(own))
        assert found.arrays["class"][name] == pytest.approx(own.mean())


def test_of_equal_magnitudes_the_first_in_the_order_of_layers_and_places_are_left() -> None:
    state = {
        name: value.sign() / 2 if name in NAMES else value for name, value in Net(11).state_dict().items()
    }
    assert found_in({1: state}).arrays["psi"].tolist() == by_hand({1: state}, KEPT).tolist()


def test_it_counts_epochs_and_their_order_does_not_matter() -> None:
    known = states((1, 2, 4, 7))
    turned = dict(zip(known, reversed([*known.values()]), strict=True))
    one, other = found_in(known), found_in(turned)
    assert one.arrays["cp"].tobytes() == other.arrays["cp"].tobytes()
    assert one.values == other.values


def test_a_window_takes_the_kept_epochs_from_its_first_to_its_last() -> None:
    known = states((0, 1, 2, 4, 7))
    found = found_in(known, first=1, last=6)
    assert found.arrays["epochs"].tolist() == [1, 2, 4]
    assert found.protocol["window"] == [1, 4]
    assert (
        found.arrays["psi"].tolist() == by_hand({epoch: known[epoch] for epoch in (1, 2, 4)}, KEPT).tolist()
    )
    assert found_in(known, first=4).arrays["epochs"].tolist() == [4, 7]


def test_a_dense_net_is_not_pruned_and_a_density_of_ones_own_is_exact() -> None:
    known, size = states((1, 2)), 162 + 96
    assert found_in(known, dense=True).arrays["psi"].tolist() == by_hand(known, size).tolist()
    assert found_in(known, density=1.0).arrays["psi"].tolist() == by_hand(known, size).tolist()
    for dense in (False, True):
        found = found_in(known, dense=dense, density=0.25)
        assert (found.protocol["kept"], found.protocol["prunable"]) == (65, size)  # 64.5 up
        assert found.arrays["psi"].tolist() == by_hand(known, 65).tolist()


def test_the_net_is_left_as_it_was_also_when_it_is_stopped() -> None:
    for stop_at in (1, 2, 3, 10**9):
        one, asked = exam(states((1, 2))), []

        def poll(asked=asked, stop_at=stop_at):
            asked.append(1)
            if len(asked) >= stop_at:
                raise StoppedError("stopped", 75)

        one = replace(one, net=replace(one.specimen, poll=poll))
        before = {name: value.clone() for name, value in one.specimen.model.state_dict().items()}
        try:
            measure(one, params=Params())
        except StoppedError:
            assert stop_at < 10**9
        now = one.specimen.model.state_dict()
        assert all(torch.equal(before[name], value) for name, value in now.items())
        assert not one.specimen.model.training


def test_a_net_whose_answers_are_no_numbers_is_right_about_nothing() -> None:
    known = states((1,))
    known[1] = {**known[1], "norm.running_var": torch.full((6,), -1.0)}
    assert found_in(known).arrays["psi"].sum() == 0


def test_nothing_to_measure_is_said_in_a_line() -> None:
    with pytest.raises(Absent, match="was not trained"):
        measure(replace(exam({}), history=None), params=Params())
    with pytest.raises(Absent, match=r"--set keep\.epochs="):
        found_in({})
    with pytest.raises(Absent, match="no weights were kept from epoch 5 to 6: they were after 1, 2"):
        found_in(states((1, 2)), first=5, last=6)
    with pytest.raises(Absent, match="are not finite"):
        found_in({1: {name: value * np.nan for name, value in Net(1).state_dict().items()}})
    with pytest.raises(Absent, match="have no 'norm"):
        found_in({1: {name: value for name, value in Net(1).state_dict().items() if "norm" not in name}})


def test_keys_that_cannot_be_are_refused_and_the_price_grows_with_the_epochs() -> None:
    for keys, said in (
        ({"first": -1}, "first = -1"), ({"first": 5, "last": 4}, "last = 4 is before"), ({"every": 0}, "every = 0"),
        ({"density": 1.5}, "density = 1.5"), ({"embedding": "feature"}, "did you mean 'features'"),
        ({"embedding": "clip"}, "go together"), ({"clip": "DIR"}, "go together"),
    ):  # fmt: skip
        with pytest.raises(UsageError, match=said):
            Params(**keys)
    assert price({"train": 50}, Params()) == 50
    assert price({"train": 50, "epochs": 7}, Params()) == 350


# ------------------------------------------------------------------------------- what a draw wrote down, wrong labels


def told(known, epochs=5):
    """An exam of a run whose draw wrote down what a pruned net got right, and these bits."""
    bits, one = np.random.default_rng(2).random((epochs, N)) < 0.5, exam(known)
    assert one.history is not None
    return replace(one, history=replace(one.history, pruned=bits)), bits


def test_the_record_of_a_draw_counts_where_the_run_kept_nothing_itself() -> None:
    one, bits = told({})
    found = measure(one, params=Params(first=2, last=4))
    assert found.arrays["psi"].tolist() == bits[1:4].sum(0).tolist()
    assert (found.protocol["source"], found.protocol["window"]) == ("record of the draw", [2, 4])
    known = states((1, 2, 4))
    one, _ = told(known)
    found = measure(one, params=Params())
    assert found.arrays["psi"].tolist() == by_hand(known, KEPT).tolist()
    assert found.protocol["source"] == "weights kept by the run"


def noisy(one):
    """The same exam, of a net that was given the next class as the label of every third image."""
    train = one.specimen.images["train"]
    given = copy(train)
    given.true, given.labels = train.labels, train.labels.clone()
    given.labels[::3] = (train.labels[::3] + 1) % 4
    return replace(one, net=replace(one.specimen, images={**one.specimen.images, "train": given}))


def test_under_wrong_labels_the_data_sets_own_count_and_people_are_compared_with_these(tmp_path) -> None:
    _, labels = random_images(N, SHAPE, 4)
    path, hardness = human_file(tmp_path, labels)
    known, params = states((1, 2, 4, 7)), Params(human=str(path))
    clean, found = (measure(each, params=params) for each in (exam(known), noisy(exam(known))))
    assert found.arrays["psi"].tolist() == by_hand(known, KEPT).tolist()
    assert found.arrays["hardness"].tolist() == hardness.tolist()
    assert found.values == clean.values
    np.testing.assert_array_equal(found.arrays["class"], clean.arrays["class"])


def test_what_a_draw_wrote_down_by_wrong_labels_does_not_count() -> None:
    one, _ = told({})
    with pytest.raises(Absent, match=r"--set keep\.epochs="):
        measure(noisy(one), params=Params())


# ------------------------------------------------------------------------------------------------------ hardness


def human_file(tmp_path, labels, order=None):
    """A file of three people's labels, and how many of them are wrong about each image of the data."""
    numbers = np.random.default_rng(8)
    wrong = numbers.random((N, 3)) < 0.4
    given = np.where(wrong, (labels[:, None] + 1) % 4, labels[:, None])
    rows = np.arange(N) if order is None else np.argsort(order)
    np.save(tmp_path / "human.npy", np.column_stack([labels, given])[rows])
    return tmp_path / "human.npy", wrong.sum(1)


def test_hardness_rows_are_means_over_images_that_so_many_people_got_wrong(tmp_path) -> None:
    _, labels = random_images(N, SHAPE, 4)
    path, hardness = human_file(tmp_path, labels)
    known = states((1, 2, 4, 7))
    found = found_in(known, human=str(path))
    cp = rankdata(-by_hand(known, KEPT)) / N
    assert found.arrays["hardness"].tolist() == hardness.tolist()
    assert found.arrays["table"].shape == (4, 4)
    for level in range(4):
        own = hardness == level
        assert found.values[f"compression-position.hardness-{level}"].value == pytest.approx(cp[own].mean())
        even = [cp[place] - cp[labels == labels[place]].mean() + cp.mean() for place in np.flatnonzero(own)]
        within = found.values[f"compression-position.within-{level}"]
        assert (within.value, within.n) == (pytest.approx(np.mean(even)), own.sum())
        assert abs(within.value - cp[own].mean()) > 1e-3
        for name in range(4):
            cell = cp[own & (labels == name)]
            cell = cell.mean() if len(cell) else np.nan
            np.testing.assert_allclose(found.arrays["table"][name, level], cell)
    plain = found_in(known)
    assert not any("hardness" in name or "within" in name for name in (*plain.values, *plain.arrays))


def test_images_in_another_order_are_found_by_the_positions_that_the_data_know(tmp_path) -> None:
    _, labels = random_images(N, SHAPE, 4)
    order = np.random.default_rng(9).permutation(N)
    path, hardness = human_file(tmp_path, labels, order)
    one = exam(states((1,)))
    one.specimen.images["train"].positions = order
    found = measure(one, params=Params(human=str(path)))
    assert found.arrays["hardness"].tolist() == hardness.tolist()
    with pytest.raises(UsageError, match=r"metrics\.compression-position\.human: .*another order"):
        found_in(states((1,)), human=str(path))


def test_a_file_goes_by_its_content(tmp_path) -> None:
    path, _ = human_file(tmp_path, np.arange(N) % 4)
    first = content(Params(human=str(path)))
    assert set(first) == {"human"}
    other, _ = human_file(tmp_path, np.arange(N) % 3)
    assert content(Params(human=str(other))) != first
    assert content(Params()) == {}
    with pytest.raises(UnavailableError, match="cannot be read"):
        content(Params(human=str(tmp_path / "none.pt")))


# ------------------------------------------------------------------------------------------------------ the figure


def test_windows_are_2500_of_50000_images_and_every_tenth_is_drawn() -> None:
    ranks = ranked(np.random.default_rng(0).integers(0, 60, 50_000))
    places, window = drawn(ranks, 10)
    assert len(places) == 5000
    assert [int((window == number).sum()) for number in (0, 1, 2)] == [250, 250, 250]
    every, wide = drawn(ranks, 1)
    assert [int((wide == number).sum()) for number in (0, 1, 2)] == [2500, 2500, 2500]
    assert (np.diff(ranks[every]) >= 0).all()
    assert ranks[every[wide == 0]].max() <= ranks[every[wide == 1]].min()
    assert {*places[window == 1]} <= {*every[wide == 1]}


@pytest.fixture
def at_once(monkeypatch):
    """t-SNE in this process: another one takes a second to begin."""

    def run(command, said, poll):
        count, perplexity, seed, source, target = command[3:]
        _tsne.main(int(count), float(perplexity), int(seed), source, target)

    monkeypatch.setattr(_embedding, "_run", run)


@pytest.mark.long
def test_two_far_clouds_stay_apart_in_the_plane_and_a_process_of_its_own_says_so_too(
    at_once, monkeypatch
) -> None:
    numbers = np.random.default_rng(3)
    features = numbers.normal(size=(60, 20)) + 40 * (np.arange(60) % 2)[:, None]
    points = spread(features, 5, lambda: None)
    own, other = (np.linalg.norm(points[0] - points[np.arange(60) % 2 == group], axis=1) for group in (0, 1))
    assert np.sort(own)[1:].max() < other.min()
    monkeypatch.undo()
    np.testing.assert_allclose(
        spread(features, 5, lambda: None), points, atol=1e-2
    )  # threads add in another order


def test_a_picture_in_the_making_can_be_stopped_at_once() -> None:
    def poll() -> None:
        raise StoppedError("stopped", 75)

    began = time.monotonic()
    with pytest.raises(StoppedError):
        spread(np.random.default_rng(0).normal(size=(40, 5)), 0, poll)
    assert time.monotonic() - began < 5


def test_an_ellipse_has_the_axes_and_the_angle_that_its_cloud_was_made_with() -> None:
    circle = 2 * np.pi * np.arange(360) / 360
    for angle in (0.0, 0.4, 1.2, np.pi / 2, -0.7):
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        points = np.stack([5 * np.cos(circle), 2 * np.sin(circle)], 1) @ turn.T + [3.0, -1.0]
        found = ellipses(points, np.zeros(360, dtype=np.int64), 2)
        sizes = 2 * np.array([5, 2]) * (0.5 * 360 / 359) ** 0.5  # variance of a cosine, n - 1
        np.testing.assert_allclose(found[0, :4], [3, -1, *sizes], atol=1e-9)
        assert np.cos(2 * (found[0, 4] - angle)) == pytest.approx(1)
        assert np.isnan(found[1]).all()


def test_features_are_what_goes_into_the_last_layer() -> None:
    one = exam({}).specimen
    places = np.array([7, 3, 59])
    x = one.scaling(torch.from_numpy(random_images(N, SHAPE, 4)[0][places]).float())
    with torch.no_grad():
        wanted = torch.relu(one.model.norm(one.model.conv(x))).flatten(1).numpy()
    np.testing.assert_array_equal(penultimate(one, places), wanted)
    with pytest.raises(UsageError, match="Flatten has no last Linear"):
        penultimate(replace(one, model=nn.Flatten()), places)


def test_the_figure_has_its_points_windows_and_ellipses(at_once) -> None:
    known = states((1, 2, 4, 7))
    found = found_in(known, embedding="features", every=2)
    names = {"image", "points", "window", "class", "ellipses"}
    assert {name.partition(".")[2] for name in found.arrays if name.startswith("embedding.")} == names
    assert found.arrays["embedding.points"].shape == (30, 2)
    assert found.arrays["embedding.ellipses"].shape == (4, 5)
    _, labels = random_images(N, SHAPE, 4)
    assert found.arrays["embedding.class"].tolist() == labels[found.arrays["embedding.image"]].tolist()
    assert found.protocol["embedding"].startswith("features of this net")
    again = found_in(known, embedding="features", every=2)
    assert again.arrays["embedding.points"].tobytes() == found.arrays["embedding.points"].tobytes()
    one = exam(known)
    one.specimen.model.fc.register_forward_pre_hook(lambda _, inputs: (inputs[0] * np.nan,))
    assert (
        measure(one, params=Params(embedding="features")).protocol["embedding"]
        == "none: features are not finite"
    )
    assert found_in(known, embedding="features", every=20).protocol["embedding"] == "none: 3 images"
    assert "scikit-learn" in content(Params(embedding="features"))


# ------------------------------------------------------------------------------------------------------------ CLIP

WIDTH, HEADS, PATCH, SIDE, OUT = 12, 3, 4, 16, 7


class Peer(nn.Module):
    """The tower from torch's own transformer, whose blocks may normalise first."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, WIDTH, PATCH, PATCH, bias=False)
        self.cls, self.pos = nn.Parameter(torch.zeros(WIDTH)), nn.Parameter(torch.zeros(17, WIDTH))
        self.before, self.after = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        layer = nn.TransformerEncoderLayer(
            WIDTH, HEADS, 20, 0.0, lambda x: x * torch.sigmoid(1.702 * x), batch_first=True, norm_first=True
        )
        self.blocks = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.out = nn.Linear(WIDTH, OUT, bias=False)

    def forward(self, x):
        x = torch.cat([self.cls.expand(len(x), 1, -1), self.patch(x).flatten(2).mT], 1) + self.pos
        return self.out(self.after(self.blocks(self.before(x))[:, 0]))


def peer():
    with torch.random.fork_rng(devices=[]):
        net = Peer().eval()
    numbers = np.random.default_rng(4)
    with torch.no_grad():
        for value in net.parameters():
            value.copy_(torch.from_numpy(numbers.normal(size=tuple(value.shape)) * 0.5))
    return net


def as_published(net) -> dict[str, torch.Tensor]:
    """The peer's weights under the names that Hugging Face's files have."""
    own, top_ = net.state_dict(), "vision_model"
    found = {
        f"{top_}.embeddings.class_embedding": own["cls"], f"{top_}.embeddings.position_embedding.weight": own["pos"],
        f"{top_}.embeddings.patch_embedding.weight": own["patch.weight"], "visual_projection.weight": own["out.weight"],
        "text_model.embeddings.token_embedding.weight": torch.zeros(3, 3), "logit_scale": torch.tensor(1.0),
    }  # fmt: skip
    for kind in ("weight", "bias"):
        found[f"{top_}.pre_layrnorm.{kind}"] = own[f"before.{kind}"]
        found[f"{top_}.post_layernorm.{kind}"] = own[f"after.{kind}"]
        for number in range(2):
            ours, theirs = f"blocks.layers.{number}", f"{top_}.encoder.layers.{number}"
            parts = own[f"{ours}.self_attn.in_proj_{kind}"].chunk(3)
            found |= {f"{theirs}.self_attn.{n}_proj.{kind}": p for n, p in zip("qkv", parts, strict=True)}
            for old, new in (("self_attn.out_proj", "self_attn.out_proj"), ("norm1", "layer_norm1"),
                             ("norm2", "layer_norm2"), ("linear1", "mlp.fc1"), ("linear2", "mlp.fc2")):  # fmt: skip
                found[f"{theirs}.{new}.{kind}"] = own[f"{ours}.{old}.{kind}"]
    return {name: value.clone() for name, value in found.items()}


@pytest.fixture
def clip(tmp_path):
    """A small CLIP as it lies in the Hub's cache: links to blobs."""
    blobs, folder = tmp_path / "blobs", tmp_path / "clip"
    blobs.mkdir()
    folder.mkdir()
    save_file(as_published(peer()), blobs / "w", {"format": "pt"})
    vision = {"image_size": SIDE, "num_attention_heads": HEADS, "hidden_act": "quick_gelu"}
    (blobs / "c").write_text(json.dumps({"vision_config": vision, "text_config": {}}))
    (folder / "model.safetensors").symlink_to(blobs / "w")
    (folder / "config.json").symlink_to(blobs / "c")
    return folder


def test_the_image_tower_says_what_torchs_transformer_says(clip) -> None:
    tower = _clip.read_clip(clip, torch.device("cpu"))
    pixels = torch.from_numpy(random_images(5, (3, SIDE, SIDE), 4)[0]).float() / 255
    mean, std = (torch.tensor(each).view(1, 3, 1, 1) for each in (_clip.MEAN, _clip.STD))
    with torch.no_grad():
        wanted = nn.functional.normalize(peer()((pixels - mean) / std))
    assert tower.layers == 2
    torch.testing.assert_close(tower.embed(pixels), wanted, atol=2e-6, rtol=1e-5)


def test_images_are_made_as_large_as_the_tower_takes_them_as_pillow_does(clip) -> None:
    from PIL import Image

    tower = _clip.read_clip(clip, torch.device("cpu"))
    picture = (80 + random_images(1, (3, 8, 12), 4)[0][0].transpose(1, 2, 0) // 3).astype(np.uint8)
    large = Image.fromarray(picture).resize((24, 16), Image.Resampling.BICUBIC).crop((4, 0, 20, 16))
    mean, std = (torch.tensor(each).view(1, 3, 1, 1) for each in (_clip.MEAN, _clip.STD))
    pixels = torch.from_numpy(np.asarray(picture)).permute(2, 0, 1)[None].float() / 255
    found = tower._prepared(pixels) * std + mean
    wanted = torch.from_numpy(np.array(large)).permute(2, 0, 1)[None].float() / 255
    assert (
        found - wanted
    ).abs().max() < 1.5 / 255  # Pillow rounds to bytes, twice, and so would cut off at 0 and 255
    grey = tower._prepared(pixels[:, :1]) * std + mean
    assert torch.allclose(grey[:, 0], grey[:, 2], atol=1e-6)


def test_the_figure_is_of_clip_where_one_is_given(clip, at_once) -> None:
    found = found_in(states((1, 2)), embedding="clip", clip=str(clip), every=3)
    assert found.protocol["embedding"].startswith("CLIP")
    assert found.arrays["embedding.points"].shape == (20, 2)
    assert content(Params(embedding="clip", clip=str(clip))).keys() == {"clip", "scikit-learn"}


def test_folders_without_a_sound_clip_are_refused_in_one_line(clip, tmp_path) -> None:
    def refusal(match):
        with pytest.raises(UnavailableError, match=match) as refused:
            _clip.read_clip(clip, torch.device("cpu"))
        assert "\n" not in str(refused.value)

    whole = (clip / "model.safetensors").read_bytes()
    (clip / "model.safetensors").write_bytes(whole[:100])
    refusal("model.safetensors")
    save_file({"a": torch.zeros(1)}, (clip / "model.safetensors").resolve())
    refusal("is not the CLIP that")
    (clip / "config.json").write_text('{"image_size": 0}')
    refusal("image_size is 0")
    (clip / "config.json").write_text("[")
    refusal("config.json")
    (clip / "config.json").unlink()
    refusal("has no config.json")


@pytest.mark.gpu
def test_a_gpu_finds_what_the_cpu_finds() -> None:
    from tests.metrics.test_pac_bayes import on_gpu

    one = exam(states((1, 2, 4, 7)))
    here, there = (measure(each, params=Params()) for each in (one, replace(one, net=on_gpu(one.specimen))))
    assert (
        here.arrays["psi"] != there.arrays["psi"]
    ).mean() <= 0.05  # an answer that is nearly a tie may turn
