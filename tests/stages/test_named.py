"""Which nets are meant by what was typed, and that each is what its report will say it is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.stages import tiny
from ticketctl.artifacts.masks import mask_digest
from ticketctl.artifacts.run import open_run
from ticketctl.artifacts.ticket import open_ticket
from ticketctl.artifacts.weights import weights_digest
from ticketctl.errors import ArtifactError, UsageError
from ticketctl.masks.mask import Mask
from ticketctl.stages.history import history_of
from ticketctl.stages.named import Asked, Named, named, of_run, of_ticket, with_controls
from ticketctl.stages.setting import prepare
from ticketctl.stages.subject import Opener, _ticket_of
from ticketctl.train.state import State


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ws") / "lenet-digits" / "imp-00000000" / "seed-0"
    tiny.draw(folder, "draw.rewind=1ep", "keep.epochs=[0,1,2]")
    return folder


def opener(drawn: Path) -> Opener:
    return Opener(tiny.around(drawn.parents[2] / "cache"))


def ask(drawn: Path, *names: str, level: str | None = None) -> list[Named]:
    return named(Asked(names, level, workspace=drawn.parents[2]))


def test_a_ticket_is_untrained_a_run_is_trained_and_all_levels_are_all(drawn: Path) -> None:
    kinds = [(one.kind, one.level) for one in ask(drawn, str(drawn), str(drawn / "levels/1"))]
    assert kinds == [("ticket", 2), ("run", 1)]
    assert [one.level for one in ask(drawn, str(drawn), level="all")] == [0, 1, 2]
    assert [one.level for one in ask(drawn, f"{drawn}@1")] == [1]
    assert ask(drawn)[0].folder == drawn / "ticket"


def test_an_untrained_net_is_the_tickets_weights_under_its_mask(drawn: Path) -> None:
    ticket = open_ticket(drawn / "ticket")
    keep, start = ticket.mask(1), {name: one.array() for name, one in ticket.init().items()}
    found = opener(drawn).open(of_ticket(ticket, 1))
    for name, value in found.state.weights.items():
        assert np.array_equal(value.numpy(), start[name] * keep.get(name, 1))
    assert found.said.ticket == ticket.ticket_id_at(1)
    assert found.said.run_id == "untrained"


def test_level_0_is_dense_at_the_rewind_point_and_random_dense_at_the_initialisation(drawn: Path) -> None:
    ticket, dense = open_ticket(drawn / "ticket"), open_run(drawn / "levels/0")
    at_rewind = opener(drawn).open(of_ticket(ticket, 0))
    random = opener(drawn).open(of_ticket(ticket, 0, kind="random-dense"))
    assert at_rewind.said.weights == ticket.manifest.init.digest == weights_digest(dense.state("epoch-1"))
    assert random.said.weights == weights_digest(dense.state("epoch-0"))
    assert at_rewind.said.ticket == random.said.ticket == "dense"


def test_a_permuted_mask_keeps_as_many_weights_in_each_layer_of_other_places(drawn: Path) -> None:
    ticket = open_ticket(drawn / "ticket")
    plain, other = (opener(drawn).open(of_ticket(ticket, 2, kind=kind)) for kind in ("ticket", "permuted"))
    assert plain.mask is not None
    assert other.mask is not None
    ours, theirs = plain.mask.keep, other.mask.keep
    assert {name: int(keep.sum()) for name, keep in ours.items()} == {
        name: int(keep.sum()) for name, keep in theirs.items()
    }
    assert all(not torch.equal(keep, theirs[name]) for name, keep in ours.items())
    assert plain.said.ticket != other.said.ticket


def test_the_id_that_is_worked_out_is_the_one_that_the_draw_wrote(drawn: Path) -> None:
    ticket = open_ticket(drawn / "ticket")
    one = of_ticket(ticket, 2, kind="permuted")
    setting = prepare(one.recipe, one.seeds, opener(drawn).around, ticket)
    mask, start = Mask.from_arrays(ticket.mask()), State.from_tensors(ticket.init(), 0)
    assert mask_digest(mask.to_arrays()) == ticket.manifest.mask.digest
    assert _ticket_of(one, setting, start, mask) == ticket.manifest.ticket_id


def test_the_net_of_a_model_is_the_dense_net_that_a_draw_begins_with(drawn: Path) -> None:
    asked = Asked(model="lenet-300-100", data="digits", workspace=drawn.parents[2])
    (plain,) = named(asked)
    begun = open_run(drawn / "levels/0").state("epoch-0")
    assert opener(drawn).open(plain).said.weights == weights_digest(begun)
    assert plain.folder.is_relative_to(drawn.parents[2])


def test_controls_of_a_level_are_four_nets(drawn: Path) -> None:
    found = with_controls(ask(drawn, str(drawn)), None)
    assert [one.kind for one in found] == ["ticket", "permuted", "random-dense", "run"]
    assert len({opener(drawn).open(one).said.weights for one in found}) == 4


@pytest.mark.parametrize(
    ("names", "level", "says"),
    [
        (["nothing"], None, "no ticket or run 'nothing'"),
        (["@run"], "1", "is a run, and a run has one level; --level is for tickets"),
        (["@ticket@1"], "2", "says a level, and so does --level"),
        (["@ticket"], "9", "there is"),
        ([""], None, "a net's name is empty"),
    ],
)
def test_what_names_no_net_is_refused_in_words(
    drawn: Path, names: list[str], level: str | None, says: str
) -> None:
    places = {"@run": str(drawn / "levels/1"), "@ticket@1": f"{drawn}@1", "@ticket": str(drawn)}
    with pytest.raises(UsageError, match=says):
        ask(drawn, *(places.get(name, name) for name in names), level=level)
    with pytest.raises(UsageError, match="is no ticket"):
        with_controls(ask(drawn, str(drawn / "levels/1")), None)
    with pytest.raises(UsageError, match="leave out NET"):
        named(Asked([str(drawn)], model="lenet-300-100", workspace=drawn.parents[2]))


def test_the_history_of_a_run_is_what_it_kept(drawn: Path) -> None:
    run = open_run(drawn / "levels/0")
    found = history_of(run)
    assert found.epochs == (0, 1, 2)
    assert weights_digest(run.state("epoch-1")) == weights_digest(State(found.weights(1), 0).tensors())
    assert found.rows["epoch"].tolist() == [0, 1, 2]
    assert found.correct is not None
    assert found.correct.shape == (2, 1238)
    series = run.series()
    assert series is not None
    assert series.forget_count is not None
    events = (found.correct[:-1] & ~found.correct[1:]).sum(0)
    assert np.array_equal(events, series.forget_count)


@pytest.mark.long
def test_each_net_is_measured_with_its_own_threads_whatever_was_opened_before(
    drawn: Path, tmp_path: Path
) -> None:
    other = tmp_path / "ws" / "seed-0"
    tiny.draw(other, "train.threads=2", "draw.rounds=0")
    nets = opener(drawn)
    one, two = ask(drawn, str(drawn))[0], ask(drawn, str(other))[0]
    seen = []
    for net in (one, two, one):
        nets.open(net)
        seen.append(torch.get_num_threads())
    torch.set_num_threads(1)
    assert seen == [1, 2, 1]


@pytest.mark.parametrize(
    ("change", "says", "kind"),
    [
        ({"recipe": {}}, "no net can be built by its recipe", ArtifactError),
        ({"recipe": {"model": "x"}}, "no net can be built by its recipe", ArtifactError),
        ({"recipe": {"model": {"name": "lenet-300-100"}}}, "no net can be built", ArtifactError),
        ({"seeds": {"order": 1}}, "its seeds have no root", ArtifactError),
    ],
)
def test_a_run_whose_words_build_no_net_is_refused_as_an_artifact(
    drawn: Path, change: dict[str, object], says: str, kind: type[Exception]
) -> None:
    run = open_run(drawn / "levels/1")
    odd = replace(run, manifest=run.manifest.model_copy(update=change))
    with pytest.raises(kind, match=says):
        of_run(odd)


def test_a_net_that_an_unknown_tweak_has_changed_is_not_taken_for_a_plain_one(drawn: Path) -> None:
    run = open_run(drawn / "levels/1")
    arch = run.manifest.arch.model_copy(update={"tweaks": ("nosuch",)})
    odd = replace(run, manifest=run.manifest.model_copy(update={"arch": arch}))
    with pytest.raises(UsageError, match="the tweak nosuch changed its net, and is not installed here"):
        of_run(odd)
