"""The report page: what it says of runs made by hand, and that nothing of what artifacts say is more than text."""

from __future__ import annotations

import base64
import json
import re
import shutil
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.figures import shelves
from tests.figures.shelves import ladder, shelf
from tests.stages import written
from tests.stages.written import drawn, recipe_record, run
from ticketctl.artifacts.verdict import open_verdict, verdict_of
from ticketctl.errors import MissingExtraError, UsageError
from ticketctl.figures import accuracy_sparsity
from ticketctl.figures.ink.picture import picture
from ticketctl.figures.page import alt, lean, parts, render, words
from ticketctl.figures.sheet import Axis, Sheet
from ticketctl.stages import page as stage
from ticketctl.stages import page_tables
from ticketctl.stages.gallery import gallery
from ticketctl.stages.page_commands import of_what, plot_line
from ticketctl.stages.page_tables import verdicts
from ticketctl.stages.page_words import summary
from ticketctl.stages.plot import Drawing

GOLDEN = Path(__file__).parents[2] / "formats/verdict/v1/golden"
HOSTILE = (
    "<script>document.title='ran'</script>",
    '"><img src=x onerror=alert(1)>',
    "nul\x00esc\x1b[31m",
    "turned\u202etxt\u2066",
    "{{ 7 * 7 }}{% raw %}",
    "</style></title><svg onload=alert(1)>",
    "javascript:alert(1)//'&quot;",
)
VOID = {"meta", "link", "img", "br", "hr", "input"}


class Strict(HTMLParser):
    """Reads HTML and remembers what a page of ours may not have."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.faults: list[str] = []
        self.tags: Counter[str] = Counter()
        self.ids: Counter[str] = Counter()
        self.heads: list[int] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        self.faults += [f"<{tag}> has no end" for tag in self.open]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        if tag not in VOID:
            self.open.append(tag)
        if re.fullmatch("h[1-6]", tag):
            self.heads.append(int(tag[1]))
        names = [name for name, _ in attrs]
        self.faults += [f"{tag}: {name} twice" for name in {*names} if names.count(name) > 1]
        for name, value in attrs:
            self.attributes.append((tag, name, value or ""))
            if name == "id":
                self.ids[value or ""] += 1

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.faults.append(f"</{tag}> out of place")

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.words.append(data)

    @property
    def text(self) -> str:
        return "".join(self.words)


def check(html: bytes) -> Strict:
    """What holds of every page, whatever stands on it."""
    found = Strict(html.decode("utf-8"))
    assert found.faults == []
    assert not {"script", "iframe", "object", "embed", "form", "base", "svg"} & {*found.tags}
    for tag, name, value in found.attributes:
        assert not name.startswith("on"), (tag, name)
        if name in ("href", "src", "srcset", "action", "data", "poster", "xlink:href"):
            assert value.startswith(("data:", "#")), (tag, name, value[:80])
            if value.startswith("#"):
                assert found.ids[value[1:]] == 1, value
    assert set(found.ids.values()) == {1}
    assert found.heads.count(1) == 1
    assert all(after <= before + 1 for before, after in zip(found.heads, found.heads[1:], strict=False))
    assert found.tags["table"] == found.tags["caption"]
    scopes = sum(name == "scope" for tag, name, _ in found.attributes if tag == "th")
    assert scopes == found.tags["th"]
    assert all(value for tag, name, value in found.attributes if (tag, name) == ("img", "alt"))
    assert ("html", "lang", "en") in found.attributes
    assert "\x00" not in found.text + html.decode("utf-8")
    assert not set("\x1b\u202e\u2066") & set(found.text)
    return found


def sheet(**more: object) -> Sheet:
    rows = (("", "imp", "line", 50.0, 92.0, 91.0, 93.0, 2), ("", "imp", "line", 75.0, 80.5, None, None, 1))
    fields = {
        "figure": "accuracy-sparsity",
        "form": "lines",
        "title": "lenet on digits",
        "x": Axis("sparsity", "%"),
        "y": Axis("test accuracy", "%"),
        "rows": rows,
        "notes": ("mean over n = 2 runs",),
        "sources": ("rn1a",),
    }
    return Sheet(**{**fields, **more})


def figure(name: str = "one", size: int = 0, text: str = "") -> parts.Figure:
    table = parts.Table(f"numbers {text}", ("series", f"x {text}"), ((f"imp {text}", "1.5"),), folded=True)
    return parts.Figure(name, f"One {text}", f"alt {text}", "svg", b"<svg/>" + b" " * size, 10, 10,
                        (f"note {text}",), table, f"rn1 {text}", f"ticketctl plot {text}")  # fmt: skip


def page(text: str = "", figures: tuple[parts.Figure, ...] = ()) -> parts.Page:
    table = parts.Table(f"caption {text}", ("ticket", f"column {text}"), ((f"tk1 {text}", f"cell {text}"),))
    said = (parts.Text(f"title {text}", f"text {text}"),)

    def plot(names: str) -> str:
        return f"plot {names} {text}"

    return parts.Page(
        f"Title {text}", f"0.1 {text}", (f"Sentence {text}.",), (table,), (table,), (f"remark {text}",), figures,
        (parts.Verdict(f"verdict {text}", (f"said {text}",), (table,)),), (table,), said, said, said, plot,
    )  # fmt: skip


# ----------------------------------------------------------------------------------------------------- what is trusted


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_words_stay_text_wherever_they_stand(text: str) -> None:
    html = render.render(page(text, (figure("one", 0, text),))).html
    found = check(html)
    seen = words.plain(text)
    said = [*found.words, *(value for _, _, value in found.attributes)]
    assert sum(seen in one for one in said) >= 20
    assert found.tags["img"] == 1


def test_the_policy_lets_nothing_be_fetched_or_run() -> None:
    found = check(render.render(page()).html)
    policy = next(
        value for tag, name, value in found.attributes if tag == "meta" and value.startswith("default-src")
    )
    said = dict(one.strip().split(" ", 1) for one in policy.split(";"))
    assert said == {"default-src": "'none'", "style-src": "'unsafe-inline'", "img-src": "data:",
                    "base-uri": "'none'", "form-action": "'none'"}  # fmt: skip
    assert "url(" not in (render.FOLDER / "page.css").read_text()
    assert "@import" not in (render.FOLDER / "page.css").read_text()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/home/SECRET/x", "PATH"),
        ("imagefolder:/home/SECRET HOME/x, a=1", "imagefolder:PATH, a=1"),
        ("see ~/SECRET and ../SECRET", "see PATH"),
        ('teacher = "C:\\Users\\SECRET\\x"', 'teacher = "PATH"'),
        ("file:///SECRET", "PATH"),
        ("file:/SECRET", "PATH"),
        ("D:/SECRET", "PATH"),
        ("teacher=/srv/SECRET/2024", "teacher=PATH"),
        ("(/.SECRET/x)", "(PATH)"),
        ("/dåtä/SECRET; ./SECRET", "PATH; PATH"),
        ("~SECRET/x, ~/SECRET/y", "PATH, PATH"),
        ("//nas/SECRET/x, \\\\nas\\SECRET", "PATH, PATH"),
    ],
)
def test_places_of_a_machine_are_not_told(text: str, shown: str) -> None:
    assert words.private(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "imp + swish: accuracy –/59.04, mce –/59.04, nll 36/–",
        "1/5 of test/accuracy, 10 / 3, probe.a/table",
        "batch/s and images/s, MiB /s, 8 of 100 /epoch",
        "recipe audit/lth-pass of ticketctl 0.1.0, torch 2.15.0+cu132",
        "(a/b), (a/b/c), [0.1/0.2/0.3], 1/2/3, n = 3/4, rn1abc/rp1def",
        "a / b / c, and/or, ~5/6, either \\ or",
        "/59.04/36, +/-1/2",
        "https://arxiv.org/abs/1803.03635",
    ],
)
def test_what_is_no_place_stays_as_it_is(text: str) -> None:
    assert words.plain(text) == text


def test_folders_that_are_known_are_not_told_in_whatever_form() -> None:
    known = ("/SECRET", "/2024/SECRET")
    assert words.plain("from /SECRET", known) == "from PATH"
    assert words.plain("a=/2024/SECRET/x, b=1/5", known) == "a=PATH, b=1/5"
    assert words.plain("per test/SECRET and /SECRETS", known) == "per test/SECRET and /SECRETS"
    whole = replace(page("/SECRET"), places=known)
    assert b"SECRET" not in render.render(replace(whole, figures=(figure("one", 0, "/SECRET"),))).html
    assert "SECRET" not in "".join(words.private_sheet(sheet(notes=("of /SECRET",)), known).notes)


def test_the_picture_tells_no_place_either() -> None:
    row = ("", "kd, teacher=/home/SECRET/run", "line", 1.0, 2.0, None, None, 1)
    told = words.private_sheet(sheet(rows=(row,), notes=("from /home/SECRET",), title="of ~/SECRET/x"))
    assert "SECRET" not in told.csv() + told.title + "".join(told.notes)


# ------------------------------------------------------------------------------------------------------------- figures


def test_a_figure_in_words_says_what_over_what_of_which_series_in_which_range() -> None:
    said = alt.alt(sheet())
    assert said == (
        "lenet on digits. Line chart: test accuracy [%] over sparsity [%]. 1 series: imp. "
        "sparsity [%] from 50 to 75; test accuracy [%] from 80.5 to 92."
    )
    many = tuple(("", f"s{at}" * 40, "line", 1.0, 2.0, None, None, 1) for at in range(30))
    assert len(alt.alt(sheet(rows=many))) <= alt.LONG


def test_the_table_has_every_number_and_no_empty_column() -> None:
    found = alt.table(sheet())
    assert found.columns == ("series", "role", "x", "y", "low", "high", "n")
    assert found.rows == (
        ("imp", "line", "50", "92", "91", "93", "2"),
        ("imp", "line", "75", "80.5", "", "", "1"),
    )
    assert found.words == 2


def test_rows_beyond_the_limit_are_counted_and_the_csv_is_named() -> None:
    rows = tuple(("", "imp", "line", float(at), 1.0, None, None, 1) for at in range(150))
    table = alt.table(sheet(rows=rows))
    found = check(render.render(replace(page(), tickets=(table,))).html)
    assert "the first 100 of 150 rows; accuracy-sparsity.csv" in found.text
    assert "99" in found.words
    assert "100" not in found.words


def test_a_lean_picture_has_the_same_words_at_the_same_places_in_fewer_bytes() -> None:
    (one,) = accuracy_sparsity.gather(
        shelf(*ladder({0.5: [0.9, 0.94], 0.2: [0.8]})), params=accuracy_sparsity.Params()
    )
    whole = picture(one, "svg")
    less = lean.lean(whole)
    written = re.compile(rb'<text[^>]*? x="([\d.]+)" y="([\d.]+)"[^>]*>(.*?)</text>', re.DOTALL)
    before, after = (written.findall(data) for data in (whole, less))
    assert [words_[2] for words_ in before] == [words_[2] for words_ in after] != []
    for (x, y, _), (u, v, _) in zip(before, after, strict=True):
        assert abs(float(x) - float(u)) < 0.01
        assert abs(float(y) - float(v)) < 0.01
    assert len(less) < 0.7 * len(whole)
    assert {*re.findall(rb"url\(#(.*?)\)", less)} <= {*re.findall(rb'id="(.*?)"', less)}
    assert stage._measures("svg", less) == stage._measures("svg", whole)


def test_further_sheets_of_a_figure_go_before_the_first_ones_and_the_largest_before_smaller_ones() -> None:
    names = ("a.1", "a.2", "a.3", "b", "c.x", "c.y")
    sizes = (300_000, 200_000, 400_000, 250_000, 200_000, 300_000)  # of which a page takes 4/3
    many = tuple(figure(name, size) for name, size in zip(names, sizes, strict=True))
    whole = replace(page(figures=many), without=lambda said: f"ticketctl plot RUNS --figure {said}")
    lost = [render.render(whole, size=size) for size in (1_800_000, 1_400_000, 1_200_000, 900_000, 500_000)]
    assert [one.left_out for one in lost] == [
        ("a.3",), ("a.3", "c.y"), ("a.2", "a.3", "c.y"), ("a.1", "a.2", "a.3", "c.y"),
        ("a.1", "a.2", "a.3", "b", "c.y"),
    ]  # fmt: skip
    assert [text.count("<img") for one in lost if (text := one.html.decode())] == [5, 4, 3, 2, 1]
    said = check(lost[-1].html).text
    assert "ticketctl plot RUNS --figure a,b,c\n" in said
    assert "This draws these figures as files" in said
    assert "--figure a,c\n" in check(lost[1].html).text


def test_long_folded_tables_are_not_printed_and_a_sentence_says_so() -> None:
    def folded(count: int) -> parts.Table:
        return parts.Table(f"of {count}", ("claim",), (("imp",),) * count, folded=True)

    verdict = parts.Verdict("v", (), (folded(render.PRINTED), folded(render.PRINTED + 1)))
    for shown in (100, 25):  # also where the page shows fewer rows than there are
        html = render._html(
            render._template(()), replace(page(figures=()), verdicts=(verdict,)), (), shown
        ).decode()
        assert html.count('<details class="screen">') == html.count('<p class="paper">') == 1
        assert (
            f"of {render.PRINTED + 1}: {render.PRINTED + 1} rows, on the page on a screen."
            in Strict(html).text
        )


def test_in_print_figures_have_pictures_and_notes_and_one_command_draws_all() -> None:
    html = render._html(
        render._template(()), page(figures=(figure("a.1"), figure("a.2"), figure("b"))), (), 100
    )
    said = html.decode().partition('<div class="paper">')[2].partition("</div>")[0]
    assert "plot a,b " in said
    paper = (render.FOLDER / "page.css").read_text().partition("@media print")[2]
    assert re.search(r"\.screen, article details, article h3 \{ display: none; \}", paper)
    assert re.search(r"\.paper \{ display: block; \}", paper)
    sizes = [float(one) for one in re.findall(r"font-size: ([\d.]+)pt", paper)]
    assert sizes
    assert min(sizes) >= 7


def test_on_a_telephone_pictures_are_scrolled_before_their_letters_are_below_eight_pixels() -> None:
    """Letters beside axes have 8 points, 10.7 pixels; a picture is 8.4 inches wide at most."""
    screen = (render.FOLDER / "page.css").read_text().partition("@media print")[0]
    narrow = {
        name: 16 * float(rem) for name, rem in re.findall(r"(img|\.wide) \{[^}]*min-width: (\d+)rem", screen)
    }
    assert 10.7 * narrow["img"] / render.WIDE >= 8
    assert 10.7 * narrow[".wide"] / (8.4 * 96) >= 8


def test_notes_stand_under_the_picture_and_not_in_it_too() -> None:
    shown = stage._figure(sheet(notes=("what is told",)), "ticketctl plot")
    assert b"what is told" not in shown.picture
    assert b"lenet on digits" in shown.picture
    assert shown.notes == ("what is told",)


def test_tickets_and_controls_with_the_same_numbers_of_weights_share_a_table() -> None:
    same, other = {0: 100, 1: 50, 2: 25}, {0: 100, 1: 50, 2: 20}
    made = [
        replace(shelves.drawn({2: {"w": [[1]]}}), label=label, seed=seed, kept=kept, prunable=100)
        for label, seed, kept in (("imp", 0, same), ("imp", 1, same), ("imp (reinit)", 1, same), ("snip", 0, other))
    ]  # fmt: skip
    tables = page_tables._levels(made)
    assert [one.caption.partition(": ")[2] for one in tables] == [
        "imp, seed 0, 1, imp (reinit), seed 1", "snip, seed 0",
    ]  # fmt: skip
    assert tables[0].rows[-1] == ("2", "25", "25", "75")


def test_a_page_that_is_too_large_loses_its_last_figures_and_says_so() -> None:
    many = tuple(figure(f"fig-{at:02d}", 100_000) for at in range(40))
    done = render.render(page(figures=many))
    kept = 40 - len(done.left_out)
    assert len(done.html) <= render.SIZE
    assert 13 <= kept <= 14  # 2,000,000 bytes, of which a figure takes 4/3 of 100,000
    assert done.left_out == tuple(f"fig-{at:02d}" for at in range(kept, 40))
    found = check(done.html)
    assert found.tags["img"] == kept
    assert "Left out, because the page would be over its size: " + ", ".join(done.left_out) in found.text


@pytest.mark.long
def test_a_page_is_under_its_size_whatever_stands_on_it() -> None:
    text = '"' * 30_000  # five bytes each
    table = parts.Table(text, (text,) * 13, ((text,) * 13,) * 200)
    said, told = (parts.Text(text, text),) * 50, (text,) * 20
    verdict = parts.Verdict(text, (text,), (table,) * 8)
    one = replace(figure("one", 1000, text), notes=told, table=table)
    whole = parts.Page(
        text, text, told[:1], (table,) * 4, (table,), told[:5], (one,) * 4, (verdict,), (table,), said, said
    )
    done = render.render(whole)
    assert len(done.html) <= render.SIZE
    assert "45 more recipes stand in the tickets alone" in check(done.html).text


def test_a_page_that_cannot_fit_is_no_page() -> None:
    with pytest.raises(ValueError, match="1000 are allowed"):
        render.render(page(), size=1000)


# --------------------------------------------------------------------------------------------------------------- looks


def _luminance(colour: str) -> float:
    parts_ = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in parts_]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_every_word_stands_out_from_its_ground_in_light_dark_and_print() -> None:
    """WCAG 2.1, 1.4.3: a contrast of 4.5 at least."""
    css = (render.FOLDER / "page.css").read_text()
    grounds = [
        dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", block))
        for block in re.findall(r":root \{(.*?)\}", css, re.DOTALL)
    ]
    assert len(grounds) == 3
    for found in grounds:
        for word in ("ink", "soft", "link"):
            for ground in ("ground", "stripe"):
                light, dark = sorted((_luminance(found[word]), _luminance(found[ground])), reverse=True)
                assert (light + 0.05) / (dark + 0.05) >= 4.5, (word, ground, found)


# ----------------------------------------------------------------------------------------------- what is said of runs


def _ladder(folder: Path, accuracies: dict[int, float], dense: float) -> Path:
    """A draw of one seed: its ticket, the dense net, and levels that keep so many of a thousand weights."""
    place = folder / "net/imp-1/seed-0"
    drawn(place / "ticket")
    run(place / "levels/0", repr(dense), kept=None)
    for level, (kept, accuracy) in enumerate(accuracies.items(), 1):
        run(place / f"levels/{level}", repr(accuracy), kept=kept, level=level)
    return folder


def test_the_summary_tells_how_far_each_rule_lets_a_ladder_win(tmp_path: Path) -> None:
    _ladder(tmp_path, {800: 0.91, 500: 0.90, 250: 0.893, 100: 0.88}, dense=0.90)
    said = " ".join(summary(gallery([str(tmp_path)], tmp_path)))
    assert (
        "5 trained nets and 1 ticket of resnet18 on cifar100, drawn by imp, at sparsities from 0 % to 90 %"
        in said
    )
    assert (
        "at most one point below the dense net's test accuracy up to 75 % sparsity (paper 004's rule)" in said
    )
    assert "not below it up to 50 % sparsity (paper 003's rule); one run" in said
    assert "No training diverged. No layer of a ticket is empty" in said


def test_a_verdict_is_shown_as_it_is_written() -> None:
    one = open_verdict(GOLDEN / "fail").verdict
    (shown,) = verdicts([one])
    rows = [row for table in shown.tables if table.caption.endswith("every claim") for row in table.rows]
    findings = [(net, found) for net in one.nets for found in net.metrics]
    for row, (net, found) in zip(rows, findings, strict=True):
        assert row[0] == net.name
        assert row[1].startswith(found.row)
        assert row[2].partition(":")[0] == {"pass": "yes", "fail": "no"}.get(found.status, found.status)
        assert row[3] == ("-" if found.mean is None else f"{float(found.mean):.4g}")
        assert row[8] == ("-" if found.allowed is None else f"{float(found.allowed):.4g}")
    failed = Counter(found.metric for _, found in findings if found.status == "fail")
    assert failed
    assert all(f"{name} in {count}" in shown.said[0] for name, count in failed.items())
    assert shown.title == f"Fail: {one.verdict_id}"


def test_a_folder_of_verdicts_stands_for_each(tmp_path: Path) -> None:
    for name in ("fail", "pass"):
        shutil.copytree(GOLDEN / name, tmp_path / f"verdicts/verdict-{name}")
    inside = tmp_path / "verdicts"
    for names in (
        [inside],
        [tmp_path],
        [tmp_path, inside],
    ):  # also in the workspace, where `audit` puts that folder
        found = gallery([*map(str, names)], tmp_path).shelf.verdicts
        assert [one.outcome for one in found] == ["fail", "pass"]


def test_a_whole_page_of_hostile_artifacts_is_text_and_tells_no_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Recipe, method, provenance and a verdict's names are words that nobody vouches for."""
    home = tmp_path / "SECRET-HOME"
    place = _ladder(home / "runs", {500: 0.9}, dense=0.9) / "net/imp-1/seed-0"
    (place / "ticket/provenance.json").write_text(json.dumps(
        {"tool_version": HOSTILE[0], "environment": {"torch": HOSTILE[1], "device": "cpu", "host": "SECRET-HOST"},
         "sessions": [{"command": ["ticketctl", "draw", "--data-dir", str(home)]}]}))  # fmt: skip
    record = recipe_record("papers/001-toast/imp-resnet18-cifar100", {})
    for at, text in enumerate((*HOSTILE[:2], HOSTILE[4], f"{home}/teacher")):
        train = {**record["train"], "lr": text}
        monkeypatch.setattr(written, "recipe_record", lambda *_, one={**record, "train": train}: one)
        run(place / f"spends/{at}/1-seed-0", "0.9", kept=500, level=1)
    fields = json.loads((GOLDEN / "fail/verdict.json").read_text())
    fields["nets"][0] |= {"name": HOSTILE[0], "ladder": HOSTILE[1]}
    fields["ladders"][0]["ladder"] = HOSTILE[1]
    verdict = verdict_of(
        {key: value for key, value in fields.items() if key not in ("verdict_id", "manifest_digest")}
    )
    found = gallery([str(home / "runs")], home)
    found = replace(found, shelf=replace(found.shelf, verdicts=(verdict,)))
    sheets = tuple(accuracy_sparsity.gather(found.shelf, params=accuracy_sparsity.Params()))
    made = stage.page_of(found, Drawing(sheets, {}), stage.Asked(title=HOSTILE[0]))
    html = render.render(made).html
    seen = check(html)
    pictures = [
        base64.b64decode(value.partition(",")[2])
        for tag, name, value in seen.attributes
        if (tag, name) == ("img", "src")
    ]
    assert len(pictures) == len(sheets) > 0
    assert all(b"<script" not in one and b"SECRET" not in one for one in pictures)
    assert b"SECRET" not in html
    assert str(tmp_path).encode() not in html
    assert HOSTILE[0] in seen.text


# ---------------------------------------------------------------------------------------------- commands, where it goes


def test_the_line_of_a_figure_has_its_own_keys_and_no_place() -> None:
    sets = ["figures.radar.levels=2", "figures.distance.metric=~/x y", "figures.other.a=1"]
    line = plot_line("radar,distance", sets, "001:A2", "imagefolder:/home/me")
    assert line == (
        "ticketctl plot RUNS --figure radar,distance --paper 001:A2 --data imagefolder:PATH "
        "--set figures.radar.levels=2 --set figures.distance.metric=PATH"
    )


def test_the_line_of_a_figure_names_the_verdicts_that_are_on_the_page(tmp_path: Path) -> None:
    judged = gallery([str(GOLDEN / "fail")], tmp_path)
    _ladder(tmp_path, {500: 0.9}, dense=0.9)
    runs = gallery([str(tmp_path)], tmp_path)
    both = gallery([str(tmp_path), str(GOLDEN / "fail")], tmp_path)
    assert [of_what(one) for one in (runs, both, judged)] == [("RUNS",), ("RUNS", "VERDICT"), ("VERDICT",)]
    assert plot_line("radar", (), None, None, of_what(both)) == "ticketctl plot RUNS VERDICT --figure radar"


def test_only_a_page_of_ours_is_written_over(tmp_path: Path) -> None:
    out = tmp_path / "new/report.html"
    stage.write(page(), out)
    first = out.read_bytes()
    stage.write(page("other"), out)
    assert out.read_bytes() != first
    out.write_text("<!DOCTYPE html><p>mine")
    with pytest.raises(UsageError, match="a file that no report made lies there"):
        stage.write(page(), out)
    assert out.read_text() == "<!DOCTYPE html><p>mine"
    link = tmp_path / "link.html"
    link.symlink_to(out)
    for place, what in ((link, "a link"), (tmp_path / "new", "a folder")):
        with pytest.raises(UsageError, match=what):
            stage.check_out(place)


@pytest.mark.parametrize("name", ["jinja2", "matplotlib"])
def test_without_the_extra_the_install_line_is_said(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "find_spec", lambda one: None if one == name else object())
    with pytest.raises(MissingExtraError, match=rf"report needs {name}: pip install 'ticketctl\[plot\]'"):
        stage.need_page("report")
