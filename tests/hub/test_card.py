"""The card says what the artifacts say, in Markdown and YAML that others read, whatever words the artifacts hold."""

from __future__ import annotations

import re
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from huggingface_hub import ModelCard
from markdown_it import MarkdownIt

from tests.artifacts import hostile_verdicts, samples
from tests.stages import written
from ticketctl.artifacts.ticket import write_ticket
from ticketctl.hub.card import Card, Row, claims, code, fenced, plain, render
from ticketctl.hub.private import Known
from ticketctl.progress import Silent
from ticketctl.stages.push import Asked, Parcel, packed, parse
from ticketctl.stages.push_card import sheet_of
from ticketctl.stages.push_things import things_of

REPO = parse("ada/first")
NASTY = '<script>alert(1)</script> `x` | a\n---\ntags: [evil]\n# H "q" \x1b[2J {{x}}'
SIGNS = NASTY.replace("\x1b", "")
ACCURACIES = {0: (0.97, 0.99), 1: (0.96, 0.98), 2: (0.5, 0.9), 3: (0.125, 0.25)}


def toy(folder: Path, seed: int = 0, accuracy: int | None = None, **more: Any) -> Path:
    """A ticket whose draw tells the test accuracies of column `accuracy`."""
    folder.mkdir(parents=True)
    rungs = samples.ladder()
    drawn = samples.draw(rungs) | {"seeds": {"root": seed}}
    if accuracy is not None:
        for level in drawn["levels"]:
            level["metrics"] = {"test.accuracy": ACCURACIES[level["level"]][accuracy]}
    words = {"license": "Apache-2.0", "authors": ["Ada"], **more}
    write_ticket(
        folder, arch=samples.ARCH, keep=rungs.mask(3), init=samples.weights(seed), draw=drawn, ladder=rungs, level=3,
        init_step=4, init_epoch=0.25, **words,
    )  # fmt: skip
    return folder


def parcel(workspace: Path, *names: Path, runs: bool = False, licence: str | None = None) -> Parcel:
    typed = [str(name) for name in names]
    found = things_of(typed, workspace, runs=runs, reporter=Silent())
    return packed(found, REPO, Asked(typed, licence=licence), workspace, Known())


def readme(made: Parcel) -> str:
    (item,) = [one for one in made.items if one.path == "README.md"]
    return item.read().decode()


def front(text: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(text.split("---\n")[1])
    return found


def table(text: str) -> list[list[str]]:
    """The cells of the rows of the first table."""
    tokens, rows = MarkdownIt("commonmark").enable("table").parse(text.split("---\n", 2)[2]), []
    for at, token in enumerate(tokens):
        if token.type == "table_close":
            break
        if token.type == "tr_open":
            rows.append([])
        if token.type == "inline" and tokens[at - 1].type in ("td_open", "th_open"):
            rows[-1].append(token.content)
    return rows[1:]


def test_the_tags_are_those_that_a_search_asks_for(tmp_path: Path) -> None:
    made = parcel(tmp_path, toy(tmp_path / "t"))
    manifest: Any = made.things[0].manifest
    density = f"{manifest.mask.kept / manifest.mask.prunable:.4f}"
    assert front(readme(made))["tags"] == [
        "ticketctl", "lottery-ticket", "sparse", "method:imp", "net:toy", "data:digits", f"density:{density}",
    ]  # fmt: skip
    card = ModelCard(readme(made))
    assert (card.data.library_name, card.data.pipeline_tag) == ("ticketctl", "image-classification")
    assert card.data.license == "apache-2.0"


def test_numbers_are_mean_and_deviation_over_the_tickets_of_a_draw(tmp_path: Path) -> None:
    folders = [toy(tmp_path / f"imp-1/seed-{seed}/ticket", seed, seed) for seed in (0, 1)]
    made = parcel(tmp_path, *folders)
    found = {int(row[1]): row for row in table(readme(made))}
    assert {*found} == {*ACCURACIES}
    dense = statistics.fmean(ACCURACIES[0])
    for level, values in ACCURACIES.items():
        mean, spread = statistics.fmean(values), statistics.stdev(values)
        assert found[level][4:6] == [f"{100 * mean:.2f} ± {100 * spread:.2f}", "2"]
        assert found[level][6] == ("" if level == 0 else f"{100 * (mean - dense):+.2f}")
    results = ModelCard(readme(made)).data.eval_results
    assert results is not None
    told = sorted((one.metric_args["density"], one.metric_value, one.metric_args["n"]) for one in results)
    kept = samples.ladder().kept
    assert told == sorted(
        (round(kept[level] / kept[0], 6), round(statistics.fmean(values), 6), 2)
        for level, values in ACCURACIES.items()
    )


def test_runs_of_seeds_are_one_row_beside_their_own_dense_nets(tmp_path: Path) -> None:
    draw = tmp_path / "a" / "imp-1" / "seed-0"
    written.drawn(draw / "ticket")
    for seed, (sparse, dense) in enumerate([(0.5, 0.75), (0.625, 0.875), (0.5625, 0.8125)]):
        written.run(draw / f"spends/abc/10-seed-{seed}", sparse, seed=seed)
        written.run(draw / f"spends/abc/0-seed-{seed}", dense, seed=seed, kept=None)
    rows = table(readme(parcel(tmp_path, draw / "ticket", runs=True)))
    assert [row[4:] for row in rows] == [["81.25 ± 6.25", "3", ""], ["56.25 ± 6.25", "3", "-25.00"]]
    assert rows[1][2:4] == ["0.1070", "107 of 1,000"]


def test_a_run_that_diverged_is_counted_and_in_no_mean(tmp_path: Path) -> None:
    draw = tmp_path / "a" / "imp-1" / "seed-0"
    written.drawn(draw / "ticket")
    for seed, accuracy in enumerate((0.5, 0.625)):
        written.run(draw / f"spends/abc/10-seed-{seed}", accuracy, seed=seed)
    written.run(draw / "spends/abc/10-seed-2", 0.1, seed=2, status="diverged")
    (row,) = table(readme(parcel(tmp_path, draw / "ticket", runs=True)))
    assert row[0].endswith("1 more diverged")
    assert row[4:6] == ["56.25 ± 8.84", "2"]


def test_a_ticket_alone_tells_nothing_of_runs_that_stay_here(tmp_path: Path) -> None:
    draw = tmp_path / "a" / "imp-1" / "seed-0"
    written.drawn(draw / "ticket")
    written.run(draw / "spends/abc/10-seed-0", 0.5)
    text = readme(parcel(tmp_path, draw / "ticket"))
    assert "50.00" not in text
    assert "no accuracy to tell" in text


def test_words_of_artifacts_are_neither_yaml_nor_markdown_nor_html(tmp_path: Path) -> None:
    nasty = toy(tmp_path / "t", citation=SIGNS + "\n```\n<b>", license=SIGNS, authors=[SIGNS[:50]])
    text = readme(parcel(tmp_path, nasty))
    said = front(text)
    assert said["license"] == "other"
    assert said["tags"][0] == "ticketctl"
    assert "\x1b" not in text
    html = MarkdownIt("commonmark", {"html": True}).enable("table").render(text.split("---\n", 2)[2])
    assert not re.search(r"<(script|b)\b", html)
    heads = re.findall(r"<h\d>(.*?)</h\d>", html)
    assert heads == [
        "A lottery ticket: toy on digits by imp", "Results", "How to use it", "What is in it", "Where it comes from",
        "How it is made again", "Citation", "Licence",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "text", [NASTY, "*a*", "[x](y)", "a|b", "<i>", "![x](y)", "~~a~~", "&lt;", "\\*", "_a_ __b__"]
)
def test_escaped_words_come_out_as_they_went_in(text: str) -> None:
    shown = " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
    parser = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    (paragraph,) = [token for token in parser.parse(f"x {plain(text)}") if token.type == "inline"]
    children = paragraph.children or []
    assert "".join(child.content for child in children) == f"x {shown}"
    assert {child.type for child in children} <= {"text", "text_special"}
    assert parser.render(f"| {code(text)} | {plain(text)} |\n| --- | --- |\n").count("<th>") == 2
    (fence,) = [
        token for token in parser.parse("\n".join(fenced(text + "\n```\n````"))) if token.type == "fence"
    ]
    assert fence.content.endswith("```\n````\n")


def test_equal_artifacts_give_equal_bytes(tmp_path: Path) -> None:
    folder = toy(tmp_path / "t", 0, 0)
    first, second = ({one.path: one.read() for one in parcel(tmp_path, folder).items} for _ in range(2))
    assert first == second
    assert first["accuracy-sparsity.png"].startswith(b"\x89PNG")


def test_a_verdict_is_a_tag(tmp_path: Path) -> None:
    hostile_verdicts.sound(tmp_path / "v")
    made = parcel(tmp_path, toy(tmp_path / "t"), tmp_path / "v")
    outcome: Any = next(one.manifest for one in made.things if one.kind == "verdict")
    assert f"verdict:{outcome.outcome}" in front(readme(made))["tags"]


def test_the_licence_that_is_typed_wins(tmp_path: Path) -> None:
    assert front(readme(parcel(tmp_path, toy(tmp_path / "t"), licence="cc-by-4.0")))["license"] == "cc-by-4.0"


def test_the_paper_of_the_method_is_cited(tmp_path: Path) -> None:
    text = readme(parcel(tmp_path, toy(tmp_path / "t")))
    assert "Drawn by imp (Frankle and Carbin 2019)" in text
    own = "@article{me,\n  title = {Mine}\n}"
    assert f"```bibtex\n{own}\n```" in readme(parcel(tmp_path, toy(tmp_path / "u", citation=own)))


def a_card(rows: Sequence[Row]) -> Card:
    return Card(
        "ada/x", "https://example.org/ada/x", "x", (), ("toy",), ("mnist",), ("imp",), (0.5,), (), None, tuple(rows),
        "", True, (), (), (), "",
    )  # fmt: skip


def test_the_figure_has_the_numbers_of_the_table() -> None:
    rows = [
        Row("a", 0, 10, 10, 0.9, 0.05, 3, None),
        Row("a", 1, 5, 10, 0.8, 0.1, 3, 0.9),
        Row("a", 2, 1, 10, 0.5, None, 1, 0.9),
    ]
    sheet = sheet_of(a_card(rows))
    assert np.allclose([float(x) for x in sheet.column("x") if isinstance(x, float)], [50.0, 90.0])
    assert sheet.column("y") == pytest.approx([90, 80, 50])
    assert sheet.column("low")[1:] == [pytest.approx(70), None]
    assert sheet.column("role") == ["reference", "line", "line"]


def test_a_card_without_numbers_is_a_card() -> None:
    text = render(a_card([]))
    assert "model-index" not in front(text)
    assert front(text)["datasets"] == ["ylecun/mnist"]
    assert claims(a_card([])) == ["tags: method:imp, net:toy, data:mnist, density:0.5000", "licence: none"]
