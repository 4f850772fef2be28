"""The card of a repository, README.md: what it holds, in numbers and words, and how it is used. Words out of artifacts
are escaped: they are nobody's Markdown, HTML or YAML."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from ticketctl.hub.card_there import FIGURE, sealed
from ticketctl.hub.licences import LICENCES

TAGS = ("ticketctl", "lottery-ticket", "sparse")
DATASETS = {
    "cifar10": "uoft-cs/cifar10",
    "cifar100": "uoft-cs/cifar100",
    "fashion-mnist": "zalando-datasets/fashion_mnist",
    "mnist": "ylecun/mnist",
}
"""Data sets as the Hub calls them; others are not linked."""
_SIGNS = re.compile(r"([\\`*_{}\[\]()<>#!|~&$^])")
_ENTRY = re.compile(r"@[A-Za-z]{2,30}\s*\{")


@dataclass(frozen=True)
class Row:
    """Nets of one training at one density; accuracies in [0, 1]."""

    series: str
    level: int | None
    kept: int
    prunable: int
    mean: float
    deviation: float | None
    n: int
    dense: float | None
    """Mean of the dense nets of the same training."""

    @property
    def density(self) -> float:
        """In (0, 1]."""
        return self.kept / max(1, self.prunable)


@dataclass(frozen=True)
class Card:
    """What stands on it."""

    repo: str
    address: str
    """Of the repository, for people."""
    title: str
    what: tuple[str, ...]
    nets: tuple[str, ...]
    data: tuple[str, ...]
    methods: tuple[str, ...]
    densities: tuple[float, ...]
    verdicts: tuple[str, ...]
    licence: str | None
    rows: tuple[Row, ...]
    figure: str
    """Why there is none, or nothing."""
    single: bool
    """Whether it holds one ticket that its name alone leads to."""
    provenance: tuple[str, ...]
    commands: tuple[tuple[str, str], ...]
    standins: tuple[tuple[str, str], ...]
    citation: str
    contents: tuple[tuple[str, str, str], ...] = field(default=())
    """Path, kind and id of every artifact."""
    bases: tuple[str, ...] = ()
    """Repositories that it follows from, known to everybody."""

    @property
    def tags(self) -> list[str]:
        """What a search finds it by."""
        pairs = (
            ("method", self.methods), ("net", self.nets), ("data", self.data),
            ("density", [f"{one:.4f}" for one in self.densities]), ("verdict", self.verdicts),
        )  # fmt: skip
        return [*TAGS, *dict.fromkeys(f"{key}:{value}" for key, values in pairs for value in values)]


def render(card: Card) -> str:
    """The whole file, with the mark of a push at its end; equal cards give equal bytes."""
    return sealed(f"---\n{_matter(card)}\n---\n\n" + "\n".join(_body(card)).rstrip() + "\n\n")


def plain(text: str) -> str:
    r"""Words as they are, whatever Markdown or HTML would make of them.

    >>> plain("<b>1*2</b>\n# x")
    '\\<b\\>1\\*2\\</b\\> \\# x'
    """
    return _SIGNS.sub(r"\\\1", _line(text))


def code(text: str) -> str:
    """Words in backticks."""
    return f"`{_line(text).replace('`', chr(39)).replace('|', '¦')}`"


def fenced(text: str, kind: str = "") -> list[str]:
    """Lines as they are; the fence is longer than any in them."""
    lines = ["".join(sign for sign in line if sign.isprintable()) for line in text.splitlines()]
    longest = max((len(run) for line in lines for run in re.findall(r"`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    return [f"{fence}{kind}", *lines, fence, ""]


def _line(text: str) -> str:
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())[:2000]


# --------------------------------------------------------------------------------------------------- front matter


def _matter(card: Card) -> str:
    from huggingface_hub import ModelCardData

    licence: dict[str, Any] = {}
    if card.licence in LICENCES:
        licence = {"license": card.licence}
    elif card.licence:
        licence = {"license": "other", "license_name": _line(card.licence)}
    datasets = [DATASETS[name] for name in card.data if name in DATASETS]
    results = _results(card)
    named = {"model_name": card.repo.partition("/")[2], "eval_results": results} if results else {}
    more: dict[str, Any] = {**licence, **named, **({"datasets": datasets} if datasets else {})}
    if card.bases:
        more["base_model"] = card.bases[0] if len(card.bases) == 1 else list(card.bases)
    made = ModelCardData(
        library_name="ticketctl", tags=card.tags, pipeline_tag="image-classification", **more
    )
    return str(made.to_yaml(line_break="\n"))


def _results(card: Card) -> list[Any]:
    from huggingface_hub import EvalResult

    if len(card.data) != 1:
        return []
    return [
        EvalResult(
            task_type="image-classification", dataset_type=card.data[0], dataset_name=card.data[0],
            dataset_split="test", metric_type="accuracy", metric_value=round(row.mean, 6),
            metric_name=f"test accuracy, {_line(row.series)}, density {row.density:.4f}, mean of {row.n}",
            metric_args={"density": round(row.density, 6), "n": row.n, "sd": _rounded(row.deviation)},
        )
        for row in card.rows
    ]  # fmt: skip


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)


# ------------------------------------------------------------------------------------------------------------ body


def _body(card: Card) -> Iterator[str]:
    yield from (f"# {plain(card.title)}", "")
    yield from (f"{sentence}\n" for sentence in card.what)
    yield from _results_shown(card)
    yield from ("## How to use it", "")
    yield from fenced(_use(card), "console")
    if not card.single:
        yield "`ticketctl pull` prints the folder of each artifact; `ticketctl spend` and the others take it.\n"
    yield from ("## What is in it", "", "| path | what | id |", "| --- | --- | --- |")
    yield from (f"| {code(path or '(root)')} | {kind} | {code(name)} |" for path, kind, name in card.contents)
    yield from ("", "## Where it comes from", "")
    yield from (f"- {line}" for line in card.provenance)
    yield from (f"- from the repository {code(base)}" for base in card.bases)
    yield ""
    if card.commands:
        yield from ("## How it is made again", "")
        for title, line in card.commands:
            yield from (f"{plain(title)}:", "")
            yield from fenced(line, "console")
        yield from (f"- {code(word)}: {plain(meaning)}" for word, meaning in card.standins)
        yield ""
    yield from ("## Citation", "")
    yield from fenced(card.citation, "bibtex" if _ENTRY.match(card.citation.strip()) else "")
    yield from ("## Licence", "", plain(card.licence) if card.licence else "None is given.", "")


def _results_shown(card: Card) -> Iterator[str]:
    yield from ("## Results", "")
    if not card.rows:
        yield "Nothing here was trained on data, so there is no accuracy to tell.\n"
        return
    yield from ("| nets | level | density | weights kept | test accuracy, % | n | against dense, points |",
                "| --- | ---: | ---: | ---: | ---: | ---: | ---: |")  # fmt: skip
    yield from (_table_row(row) for row in card.rows)
    yield "\nMean ± one sample deviation over n seeds. Every number is of artifacts that lie here.\n"
    if card.figure:
        yield f"There is no figure of it: {plain(card.figure)}.\n"
    else:
        yield f"![Test accuracy against sparsity, as in the table]({FIGURE})\n"


def _table_row(row: Row) -> str:
    said = f"{100 * row.mean:.2f}" + ("" if row.deviation is None else f" ± {100 * row.deviation:.2f}")
    against = "" if row.dense is None or row.kept == row.prunable else f"{100 * (row.mean - row.dense):+.2f}"
    level = "" if row.level is None else str(row.level)
    kept = f"{row.kept:,} of {row.prunable:,}"
    return f"| {plain(row.series)} | {level} | {row.density:.4f} | {kept} | {said} | {row.n} | {against} |"


def _use(card: Card) -> str:
    if not card.single:
        return f"ticketctl pull {card.repo}"
    name = f"hf://{card.repo}"
    python = f"import ticketctl; print(ticketctl.load_ticket('{name}'))"
    return f'ticketctl pull {card.repo}\nticketctl spend {name}\npython -c "{python}"'


def claims(card: Card) -> list[str]:
    """What it says to everybody, in a few lines."""
    best: Sequence[Row] = sorted(card.rows, key=lambda row: row.density)[:1]
    said = [f"tags: {', '.join(card.tags[len(TAGS) :])}", f"licence: {card.licence or 'none'}"]
    said += [
        f"test accuracy of {len(card.rows)} rows; the sparsest: {100 * row.mean:.2f} % at density {row.density:.4f}"
        for row in best
    ]
    return said
