"""What figures are made of: families, labels, tickets and papers out of folders of runs."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.stages.written import drawn, run
from ticketctl.errors import UsageError
from ticketctl.figures.shelf import Family
from ticketctl.stages.apart import fewest
from ticketctl.stages.gallery import gallery
from ticketctl.stages.labels import labels_of, unsaid
from ticketctl.stages.papers import find_table

BATCH = {"train": {"batch": 64}}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seeds of a ticket, plain and with skip; of dense nets; and one with another batch size."""
    home = tmp_path_factory.mktemp("gallery")
    here = home / "runs/resnet18-cifar100/imp-0123abcd/seed-0"
    drawn(here / "ticket")
    for seed in (0, 1):
        run(here / f"spends/aa/10-seed-{seed}", 0.71 + 0.01 * seed, seed=seed)
        run(here / f"spends/bb/10-seed-{seed}", 0.73, seed=seed, tweaks=["skip"])
        run(here / f"levels/{seed}", 0.75, seed=seed, kept=None)
    run(here / "spends/aa/5-seed-0", 0.74, kept=328, level=5)
    run(here / "spends/cc/10-seed-0", 0.70, changes=BATCH)
    return home


def families(home: Path, *names: str, **more: object):  # type: ignore[no-untyped-def]  # what the test looks into
    found = gallery([*names], home / "runs", **more)  # type: ignore[arg-type]  # as its caller typed them
    return {family.label: family for family in found.shelf.families}


def test_runs_that_differ_in_seeds_and_density_alone_are_one_family(home: Path) -> None:
    found = families(home, str(home / "runs"))
    assert sorted(found) == ["dense", "imp + skip, batch=128", "imp, batch=128", "imp, batch=64"] or sorted(found) == [
        "dense", "imp + skip", "imp, batch=128", "imp, batch=64",
    ]  # fmt: skip
    plain = found["imp, batch=128"]
    assert [(group.density, len(group.nets)) for group in plain.groups] == [(0.328, 1), (0.107, 2)]
    assert [net.level for net in plain.nets] == [5, 10, 10]


def test_families_that_no_key_tells_apart_are_numbered() -> None:
    groups = [
        SimpleNamespace(net="a", data="b", method="imp", control="", tweaks=(), settings={"train.lr": lr})
        for lr in ("1", "2", "1")
    ]
    found = labels_of(groups, [{}, {}, {}])  # type: ignore[arg-type]  # as far as labels look
    assert [found[id(group)] for group in groups] == ["imp", "imp (2)", "imp"]


def _of(label: str, **apart: str) -> Family:
    return Family(
        label, {key.replace("_", "."): value for key, value in apart.items()}, "", "", "", "", (), (), None
    )


@pytest.mark.parametrize(
    ("one", "other", "left"),
    [
        (_of("imp, epochs=8", train_epochs="8"), _of("imp, epochs=20", train_epochs="20"), ()),
        (_of("imp, epochs=8", train_epochs="8"), _of("art", train_epochs="20"), ("train.epochs",)),
        (_of("imp", train_epochs="8"), _of("imp + swish", train_epochs="8"), ()),
        (
            _of("imp, epochs=8", train_epochs="8", search_epochs="3"), _of("imp, epochs=9", train_epochs="9"),
            ("search.epochs",),
        ),
        (_of("imp, noise.rate=2", train_rate="2"), _of("imp", train_rate="3"), ("train.rate",)),
    ],
)  # fmt: skip
def test_told_are_the_keys_by_which_lines_differ_and_that_a_label_leaves_out(
    one: Family, other: Family, left: tuple[str, ...]
) -> None:
    assert unsaid([one, other]) == ((f"they differ also in {', '.join(left)}",) if left else ())


def test_a_mean_is_that_of_compare(home: Path) -> None:
    plain = families(home, str(home / "runs"))["imp, batch=128"]
    stat = plain.groups[-1].stat(lambda net: net.values["test.accuracy"])
    assert stat is not None
    assert (stat.mean, stat.n) == (pytest.approx(0.715), 2)
    assert stat.deviation == pytest.approx(0.01 / 2**0.5)


def test_the_dense_net_of_another_batch_size_is_none_of_its_own(home: Path) -> None:
    found = families(home, str(home / "runs"))
    dense = found["dense"].groups[0]
    assert found["imp, batch=128"].dense is dense
    assert found["imp, batch=64"].dense is None
    assert found["dense"].dense is dense


@pytest.mark.parametrize(
    "name", ["runs", "runs/resnet18-cifar100", "resnet18-cifar100/imp-0123abcd/seed-0/ticket", "tk1"]
)
def test_a_folder_a_ticket_and_an_id_mean_the_same_runs(home: Path, name: str) -> None:
    (ticket,) = gallery([str(home / "runs")], home / "runs").tickets
    typed = (
        ticket.manifest.ticket_id[:12] if name == "tk1" else name if "/ticket" in name else str(home / name)
    )
    assert families(home, typed).keys() == families(home, str(home / "runs")).keys()


def test_without_a_name_it_is_the_newest_draw_with_all_seeds(home: Path) -> None:
    found = gallery([], home / "runs")
    assert found.shelf.place.endswith("imp-0123abcd")
    assert len(found.subjects) == 8


def test_a_ticket_alone_has_masks_and_no_families(tmp_path: Path) -> None:
    drawn(tmp_path / "one/ticket", kept=250)
    shelf = gallery([str(tmp_path / "one")], tmp_path / "runs").shelf
    (ticket,) = shelf.tickets
    assert shelf.families == ()
    assert ticket.sparsity(10) == pytest.approx(75)
    assert ticket.keep(10)["conv.weight"].sum() == 250


def test_a_ticket_that_was_moved_brings_nothing_of_its_neighbours(tmp_path: Path) -> None:
    drawn(tmp_path / "shelf/mine", kept=250)
    run(tmp_path / "shelf/other", 0.7)
    found = gallery([str(tmp_path / "shelf/mine")], tmp_path / "runs")
    assert (len(found.tickets), found.subjects) == (1, ())


def test_a_paper_stands_beside_the_runs(home: Path) -> None:
    paper = gallery([str(home / "runs")], home / "runs", table=find_table("001:A2")).shelf.paper
    assert paper is not None
    ours = {(cell.row, cell.column): cell for cell in paper.cells if cell.ours is not None}
    (plain,) = (
        cell for (row, column), cell in ours.items() if column.startswith("89") and row in ("LTH", "imp")
    )
    assert (plain.ours, plain.n, plain.sparsity) == (pytest.approx(71.5), 2, pytest.approx(89.26))
    assert plain.theirs is not None


def test_of_a_paper_it_is_told_which_data_stand_for_its_own_and_what_runs_did_otherwise(
    tmp_path: Path,
) -> None:
    run(tmp_path / "a", 0.7, changes={"data": {"name": "cifar10"}, "train": {"batch": 64}})
    paper = gallery([str(tmp_path)], tmp_path, table=find_table("001:A2"), data="cifar10").shelf.paper
    assert paper is not None
    assert paper.data == ("cifar10", "cifar100")
    (ours,) = (cell for cell in paper.cells if cell.ours is not None)
    assert "data cifar10 instead of cifar100" in ours.differs
    assert "batch 64 instead of 128" in ours.differs
    assert all(cell.differs == () for cell in paper.cells if cell.ours is None)


def test_of_runs_on_the_paper_s_own_data_none_stand_for_them(home: Path) -> None:
    paper = gallery(
        [str(home / "runs")], home / "runs", table=find_table("001:A2"), data="cifar100"
    ).shelf.paper
    assert paper is not None
    assert paper.data is None


@pytest.mark.parametrize("name", ["nowhere", "tk1", "rn1zzzzzzzz"])
def test_what_is_not_there_is_told_in_one_line(home: Path, name: str) -> None:
    with pytest.raises(UsageError) as told:
        gallery([name], home / "runs")
    assert "\n" not in str(told.value)


def test_labels_name_the_fewest_keys_and_those_that_all_have() -> None:
    words = {
        0: {"train.batch": "1", "train.lr": "1", "x.only": "1"},
        1: {"train.batch": "2", "train.lr": "2"},
        2: {"train.batch": "2", "train.lr": "3"},
    }
    assert fewest(words, {0: "a", 1: "b", 2: "c"}) == ["train.lr"]
    assert fewest(words, {0: "a", 1: "b", 2: "b"}) == ["train.lr"]
    assert fewest({0: {}, 1: {}}, {0: "a", 1: "b"}) == []
    assert fewest({0: {"k": "1"}}, {0: "a"}) == []
