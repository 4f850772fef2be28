"""Whether a ticket fits what is asked of it, before data are fetched and anything is trained."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import ticketctl
from tests.stages import tiny
from ticketctl.artifacts.ticket import open_ticket
from ticketctl.data import cifar, mnist
from ticketctl.data.load import form_of, load
from ticketctl.errors import UsageError
from ticketctl.progress import Silent
from ticketctl.stages.fitting import check_fit, check_kept
from ticketctl.train.loop import Loop


@pytest.fixture(scope="module")
def late(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A draw rewound to its second epoch of four, with controls."""
    folder = tmp_path_factory.mktemp("late") / "seed-0"
    tiny.draw(folder, "train.epochs=4", "draw.rewind=2ep", "draw.controls=true")
    return folder


def test_forms_are_those_of_the_data(tmp_path: Path) -> None:
    digits = load("digits", cache=tmp_path, reporter=Silent())
    assert form_of("digits") == (digits.shape, len(digits.classes))
    for name, layout in cifar.LAYOUTS.items():
        assert form_of(name) == ((3, 32, 32), len(layout.classes))
    shape, classes = form_of("kmnist") or ((), 0)
    assert [(shape[1:], classes)] == [(mnist.FILES["train-images-idx3-ubyte"][1:], 10)]
    assert form_of("tinyimagenet:/somewhere") == ((3, 64, 64), 200)
    assert form_of("imagefolder:/somewhere") is None


def test_what_is_initialised_otherwise_is_the_same_net(late: Path) -> None:
    ticket = open_ticket(late / "ticket")
    for sets in ((), ("model.init=torch",), ("model.width=1",), ("data.name=imagefolder:/nowhere",)):
        check_fit(ticket, tiny.recipe(*sets))
    with pytest.raises(
        UsageError, match=r"fc1.bias is \(300,\) there \(drawn on digits\), \(150,\) in lenet"
    ):
        check_fit(ticket, tiny.recipe("model.width=1/2"))


@pytest.mark.parametrize("kind", ["shuffled", "reinit"])
def test_a_control_has_neither_trained_weights_nor_levels_and_what_would_do_is_said(
    late: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Loop, "run", lambda self: pytest.fail("trained"))
    with pytest.raises(
        UsageError, match=r"spend them without spend\.start, or the ticket alone without --controls"
    ):
        tiny.spend(late / "controls" / kind, "spend.start=trained", levels="2", seeds=[4])
    with pytest.raises(UsageError, match=r"spend pools without --controls, or the controls without pools"):
        tiny.spend(late / "controls" / kind, levels="2", seeds=[4], tweaks=["pools"])


def test_levels_that_were_not_kept_are_no_start_and_the_draw_that_keeps_them_is_named(tmp_path: Path) -> None:
    tiny.draw(tmp_path / "seed-0", "draw.keep=masks")
    with pytest.raises(
        UsageError, match=r"do not lie beside it: the same draw with draw\.keep=all keeps them"
    ):
        tiny.spend(tmp_path / "seed-0", "spend.start=trained", levels="1")


@pytest.mark.long
def test_a_control_of_a_rewound_ticket_that_begins_at_an_initialisation_is_trained_once(late: Path) -> None:
    """Told to begin at the initialisation, the reinit control does what it does anyway; the others do not."""
    plain, told = (tiny.spend(late, *sets, levels="2", controls=True) for sets in ((), ("spend.start=init",)))
    found = {one.control: one.trained for one in told if one.level}
    assert found == {None: True, "shuffled": True, "reinit": False, "random-erk": True, "inverted": True}
    (one, other) = ([one.run.folder for one in spent if one.control == "reinit"] for spent in (plain, told))
    assert one == other


@pytest.mark.parametrize(
    ("sets", "says"),
    [
        (["train.momentum=0"], "this spend has train.momentum = 0, so there is nothing to go on with"),
        (
            ["train.optimizer=adam", "train.lr=0.001"],
            "the draw trained with sgd and this spend trains with adam",
        ),
    ],
)
def test_an_optimizer_goes_on_only_with_what_its_own_kind_knew(
    late: Path, sets: list[str], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Loop, "run", lambda self: pytest.fail("trained"))
    with pytest.raises(UsageError, match=says):
        tiny.spend(late, "spend.optimizer=kept", *sets, levels="2", seeds=[4])


def test_two_tickets_that_were_copied_into_one_folder_have_runs_of_their_own(tmp_path: Path) -> None:
    shelf = tmp_path / "shelf"
    for seed in (0, 1):
        tiny.draw(tmp_path / f"seed-{seed}", seed=seed)
        shutil.copytree(tmp_path / f"seed-{seed}/ticket", shelf / f"ticket-{seed}")
    ours, theirs = (
        {one.run.folder for one in tiny.spend(shelf / f"ticket-{seed}", levels="1", seeds=[5])}
        for seed in (0, 1)
    )
    assert len(ours | theirs) == 4
    assert {folder.parent.parent for folder in ours | theirs} == {shelf / "spends"}


def test_a_draw_into_the_folder_of_a_ticket_is_refused(late: Path) -> None:
    with pytest.raises(UsageError, match="holds a ticket; a draw wants a folder of its own"):
        tiny.draw(late / "ticket")


@pytest.mark.parametrize(
    "words",
    ["this one starts with nothing to keep", "spend.optimizer = kept repeats the draw's training, of"],
)
def test_a_refusal_that_a_plan_and_a_spend_share_is_worded_once(words: str) -> None:
    sources = Path(ticketctl.__file__).parent.rglob("*.py")
    assert [path.stem for path in sources if words in path.read_text()] == ["fitting"]


def test_what_an_optimizer_knew_is_kept_from_a_rewind_point_of_the_same_batches_alone() -> None:
    check_kept(True, 32, 32)
    for rewound, batch, said in (
        (False, 32, "nothing to keep"),
        (True, 16, "of batch 16; spend with it too"),
    ):
        with pytest.raises(UsageError, match=said):
            check_kept(rewound, batch, 32)
