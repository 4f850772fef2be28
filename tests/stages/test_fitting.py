"""Whether a ticket fits what is asked of it, before data are fetched and anything is trained."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.stages import tiny
from ticketctl.artifacts.ticket import open_ticket
from ticketctl.data import cifar, mnist
from ticketctl.data.load import form_of, load
from ticketctl.errors import UsageError
from ticketctl.progress import Silent
from ticketctl.stages.fitting import check_fit
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


def test_a_control_of_a_rewound_ticket_that_begins_at_an_initialisation_is_trained_once(late: Path) -> None:
    """Told to begin at the initialisation, the reinit control does what it does anyway; the others do not."""
    plain, told = (tiny.spend(late, *sets, levels="2", controls=True) for sets in ((), ("spend.start=init",)))
    found = {one.control: one.trained for one in told if one.level}
    assert found == {None: True, "shuffled": True, "reinit": False, "random-erk": True, "inverted": True}
    (one, other) = ([one.run.folder for one in spent if one.control == "reinit"] for spent in (plain, told))
    assert one == other
