"""The page of a sweep: its map, its signs, its commands, its failures; and that names in it are text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from tests.stages.test_page import HOSTILE, check
from tests.stages.test_sweep_groups import holes
from tests.stages.written_sweep import swept
from ticketctl.errors import UsageError
from ticketctl.figures.page.parts import Page, SweepPart
from ticketctl.figures.page.render import render
from ticketctl.stages.sweep_entries import Entries, entries_of
from ticketctl.stages.sweep_groups import reference_of, swept_of
from ticketctl.stages.sweep_report import Shown, gallery_of, part_of, with_sweep

BARE = Page(title="", tool="1", summary=())


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Entries:
    return entries_of(swept(tmp_path_factory.mktemp("SECRET-HOME"), holes, seeds=5))


def shown(whole: Entries, axes: str = "", metric: str = "test.accuracy") -> Shown:
    found = swept_of(whole, metric)
    return Shown(whole, found, reference_of(None, found), metric, axes)


def tiles(part: SweepPart) -> dict[tuple[str, str, str], str]:
    return {
        (one.caption, row, column): tile.said
        for one in part.maps
        for row, cells in one.rows
        for column, tile in zip(one.columns, cells, strict=True)
        if tile
    }


@pytest.mark.long
def test_a_map_of_methods_by_recipes_has_every_combination_once(whole: Entries) -> None:
    part = part_of(shown(whole))
    assert [one.corner for one in part.maps] == ["method by spend"] * 2
    found = tiles(part)
    assert len(found) == len(swept_of(whole).combinations) == 12
    said = {(key[1], key[2]): text for key, text in found.items() if "tweaks none" in key[0]}
    assert said["snip", "train.lr=0.1"].startswith("62.00 ± 1.96")
    assert said["snip", "train.lr=0.2"].endswith(", n=3 x1 ?1")
    assert said["random", "train.lr=0.2"] == "?5"


def test_axes_are_chosen_and_wrong_ones_refused(whole: Entries) -> None:
    part = part_of(shown(whole, "tweaks,spend"))
    assert {one.corner for one in part.maps} == {"tweaks by spend"}
    assert sum(len(one.rows) * len(one.columns) for one in part.maps) == 12
    with pytest.raises(UsageError, match=r"'twaeks'.*tweaks"):
        part_of(shown(whole, "twaeks,spend"))


def test_under_each_cell_stand_the_commands_of_its_runs(whole: Entries) -> None:
    for one in part_of(shown(whole)).maps:
        for _, cells in one.rows:
            for tile in cells:
                assert tile is not None
                draw, *spends = tile.commands.splitlines()
                assert draw.startswith("ticketctl draw ")
                assert "--seed 0,1,2,3,4" in draw
                assert len(spends) == 5
                assert all(line.startswith("ticketctl spend runs/") for line in spends)


def test_failures_are_listed_by_cause(whole: Entries) -> None:
    (table,) = (one for one in part_of(shown(whole)).tables if one.caption.startswith("Failed jobs"))
    ((cause, which, message, jobs),) = table.rows
    assert (cause, message, jobs) == ("resources", "out of memory", "5")
    assert "seed 0" in which


def test_ranks_tell_what_they_leave_out_and_that_five_seeds_are_few(whole: Entries) -> None:
    (table,) = (one for one in part_of(shown(whole)).tables if one.caption.startswith("Mean ranks"))
    assert table.rows == (("snip", "1.00"), ("random", "2.00"))
    assert "5 left out" in table.caption
    assert "no critical difference: 5 " in table.caption


def test_the_page_is_sound_and_has_no_place_of_the_maker(whole: Entries) -> None:
    page = with_sweep(BARE, shown(whole), titled=False)
    html = render(page).html
    found = check(html)
    assert b"SECRET-HOME" not in html
    assert page.title == "Two methods, two recipes"
    assert found.tags["details"] == 12
    assert "x1 ?1" in " ".join(found.words)
    assert any(
        one.text == f"ticketctl compare --sweep {whole.plan.id} --against tweaks=none"
        for one in page.commands
    )


@pytest.mark.parametrize("word", HOSTILE)
def test_labels_and_titles_are_text_whatever_they_say(whole: Entries, word: str) -> None:
    def spoilt(labels: Mapping[str, str]) -> dict[str, str]:
        return {
            axis: word if axis == "spend" and value.endswith("2") else value for axis, value in labels.items()
        }

    entries = tuple(replace(one, labels=spoilt(one.labels)) for one in whole.entries)
    plan = replace(whole.plan, title=word)
    part = with_sweep(BARE, shown(replace(whole, plan=plan, entries=entries)), titled=False)
    check(render(part).html)


def test_a_sweep_without_a_run_has_no_page(tmp_path: Path) -> None:
    found = entries_of(swept(tmp_path, lambda *_: "waiting", seeds=1))
    with pytest.raises(UsageError, match=f"ticketctl status {found.plan.id}"):
        gallery_of(found)


def test_figures_are_drawn_of_what_the_page_shows(whole: Entries) -> None:
    assert shown(whole).sets(["sweep-axes", "sweep-map"]) == []
    told = shown(whole, "tweaks,spend", "test.loss").sets(["sweep-axes", "sweep-map"])
    assert told == ["figures.sweep-axes.axes=tweaks,spend", "figures.sweep-axes.metric=test.loss"]
    assert shown(whole, "tweaks,spend").sets(["sweep-map"]) == []
