"""Between which nets a command measures: what was named, put together as the curves take it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.stages import tiny
from ticketctl.errors import UsageError
from ticketctl.recipe_explore import InterpolateSpec
from ticketctl.stages.between import Between, alike, between, check_ends, least_ends, of_twins
from ticketctl.stages.named import Asked, named


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ws") / "lenet-digits" / "imp-00000000" / "seed-0"
    tiny.draw(folder, "train.epochs=1")
    return folder


def pairs(
    drawn: Path, *names: str, level: str | None = None, curves: str = "line", **spec: Any
) -> list[Between]:
    found = named(Asked([f"{drawn}{name}" for name in names], level, workspace=drawn.parents[2]))
    return between(found, curves.split(","), InterpolateSpec(**spec), {})


def test_levels_of_a_ticket_are_its_trained_nets_and_the_report_is_the_tickets(drawn: Path) -> None:
    (one,) = pairs(drawn, "", level="all")
    assert [net.folder for net in one.ends] == [drawn / f"levels/{level}" for level in range(3)]
    assert all(net.run is not None for net in one.ends)
    assert one.names == ("level-0", "level-1", "level-2")
    assert (one.subject.kind, one.subject.level, one.subject.folder) == ("ticket", 2, drawn / "ticket")
    assert one.label == f"{drawn}/ticket@0,1,2, trained"


def test_untrained_levels_are_the_ticket_itself(drawn: Path) -> None:
    (one,) = pairs(drawn, "", level="0,2", of="untrained")
    assert [(net.kind, net.level) for net in one.ends] == [("ticket", 0), ("ticket", 2)]
    assert one.label == f"{drawn}/ticket@0,2, untrained"


def test_runs_are_numbered_as_they_were_named_and_the_first_has_the_report(drawn: Path) -> None:
    (one,) = pairs(drawn, "/levels/2", "/levels/0", "@1")
    assert [net.folder for net in one.ends] == [drawn / f"levels/{level}" for level in (2, 0, 1)]
    assert (one.names, one.subject) == (("0", "1", "2"), one.ends[0])
    assert one.label == f"{drawn}/levels/2 to 2 others"
    assert pairs(drawn, "/levels/2", "/levels/0")[0].label == f"{drawn}/levels/2 to {drawn}/levels/0"


def test_nets_of_the_same_weights_are_told_from_the_second_on(drawn: Path) -> None:
    (one,) = pairs(drawn, "/levels/2", "/levels/0", "@2")
    (said,) = alike(one, ["a", "b", "a"])
    assert said.startswith(f"{drawn}/levels/2 and {drawn}/levels/2 are one and the same net")
    assert alike(one, ["a", "b", "c"]) == []


def test_a_level_that_is_named_twice_keeps_a_name_of_its_own(drawn: Path) -> None:
    (one,) = pairs(drawn, "@1", "@1", "@2")
    assert one.names == ("0", "1", "2")
    assert one.subject == one.ends[0]


def test_a_landscape_is_about_each_net_alone(drawn: Path) -> None:
    found = pairs(drawn, "", level="all", curves="plane,eigenvector")
    assert [(one.subject, one.names) for one in found] == [(one.ends[0], ("0",)) for one in found]
    assert [one.label for one in found] == [str(drawn / f"levels/{level}") for level in range(3)]


def test_twins_are_the_tickets(drawn: Path) -> None:
    (ticket,) = named(Asked([str(drawn)], "1", workspace=drawn.parents[2]))
    runs = [net.run for net in pairs(drawn, "", level="1,1-2")[0].ends]
    one = of_twins(ticket, [run for run in runs if run], {})
    assert (one.names, one.subject) == (("twin-0", "twin-1"), ticket)
    assert one.label == f"{drawn}/ticket@1, 2 twins"


def test_curves_say_how_many_nets_they_lie_between() -> None:
    assert least_ends(["line"]) == least_ends(["bezier", "line"]) == 2
    assert least_ends(["plane", "input-plane"]) == 1
    with pytest.raises(UsageError, match="plane is measured about one net, line between two"):
        least_ends(["line", "plane"])
    check_ends(["line"], 100)
    check_ends(["bezier"], 2)
    check_ends(["plane"], 100)
    with pytest.raises(UsageError, match="bezier lies between 2 nets, and here are 3; name 2 of them"):
        check_ends(["line", "bezier"], 3)


@pytest.mark.parametrize(
    ("names", "level", "words", "says"),
    [
        ([""], None, {}, r"line lies between nets, and .*levels/2 is one: name another"),
        (["", "/levels/0"], None, {"curves": "bezier,plane"}, "plane is measured about one net, bezier between two"),
        ([""], "all", {"curves": "bezier"}, "bezier lies between 2 nets, and here are 3"),
        ([""], "all", {"curves": "plane", "align": "weights"}, "permutes further nets to match the first; plane is"),
    ],
)  # fmt: skip
def test_what_does_not_go_together_is_refused(
    drawn: Path, names: list[str], level: str | None, words: dict[str, str], says: str
) -> None:
    with pytest.raises(UsageError, match=says):
        pairs(drawn, *names, level=level, **words)


def test_a_level_that_the_draw_did_not_keep_trained_names_the_spend(drawn: Path, tmp_path: Path) -> None:
    place = Path(shutil.copytree(drawn, tmp_path / "ws/a/b/seed-0"))
    shutil.rmtree(place / "levels/1")
    with pytest.raises(UsageError, match=rf"ticketctl spend {place}/ticket@1 trains one"):
        pairs(place, "", level="all")
    assert len(pairs(place, "", level="all", of="untrained")[0].ends) == 3
