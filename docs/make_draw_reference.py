"""Write the pages of draws, tweaks, metrics, curves and figures in docs/ from the modules of the plug-ins.

Run `python docs/make_draw_reference.py`.

Docstrings, `FACTS` and the meanings of keys are read as text; types and defaults are those of the imported `Params`.
`tests/test_docs.py` compares the pages with what `pages()` returns.
"""

from __future__ import annotations

import textwrap
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import MISSING, Field, fields
from fractions import Fraction
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from ticketctl.plugins import FACTS_TITLE, Plugin, describe, load, plugins
from ticketctl.tomltext import toml_text

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "draws.md"
TWEAKS = ROOT / "docs" / "tweaks.md"
METRICS = ROOT / "docs" / "metrics.md"
CURVES = ROOT / "docs" / "curves.md"
FIGURES = ROOT / "docs" / "figures.md"
PICTURES = ROOT / "docs" / "figures"
FOLDER = ROOT / "docs" / "draws"

COLUMNS = {
    "paper": "paper", "rule": "rule (score)", "scope": "scope", "data": "data used", "cost": "epochs",
    "nested": "nested", "start": "the ticket starts from",
}  # fmt: skip

POINTS = {"begin", "end", "every", "pretrain"}
"""Keys that are written as points in a training, where they are text."""

HEAD = """\
# Draw methods

<!-- Written by docs/make_draw_reference.py from the modules in ticketctl/draws; do not edit. -->

A draw method chooses which weights are kept. This page lists all that come with ticketctl, one row each; the name
leads to the method's own page with its formula, its choices where paper and code differ, and its keys. `ticketctl
list methods NAME` prints the same in a terminal.

## Reading the table

**Rule.** What is ranked, or how the counts of the layers come about. w are the weights, g = dL/dw the gradient of the
mean cross entropy, H its Hessian; N is the number of [prunable](concepts/density-and-prunable.md) weights, d the
density asked for, n_l the weights of layer l. Counts are exact unless a key says otherwise; of equal scores the one
with the lower flat index is kept.

**Scope.** *global*: all layers are ranked together, so the rule decides how many weights each layer keeps. *layer*:
the counts of the layers are settled first, and the rule says which weights of a layer stay.

**Data used.** What the mask is a function of, besides the net and the seed. *none* does not mean that nothing is
trained: every ticket is trained once, to know what it is worth. Where a rule reads weights and there is a rewind point,
the training up to that point has its say too.

**Epochs.** What the whole draw takes, with E the epochs of one training of the recipe, n rounds and k the epochs
before the rewind point (0 without one). Before the first semicolon stands the cost with the keys as they are; what
follows are other values of a key. The formulas hold for `draw.schedule = "continue"`; under `"restart"` every level
runs the whole schedule. With E = 160 and 16 rounds, `imp` takes 17 trainings or 2,720 epochs, `omp` 320,
`snip` 160. Scoring is not counted; it takes a few gradients, 60 of them for `force` and `snip-iterative`, 100 for
`synflow`. `ticketctl draw --dry-run` gives the figures for a recipe of yours on your machine.

**Nested.** Whether the mask of a smaller density lies inside that of a larger one, same net and seed. *by counts*:
positions come from one random ranking per layer, so a layer that keeps fewer weights keeps a subset, but the
rounding of the counts can let a layer grow by a weight while the density falls. The levels of one ladder are always
nested ([ladder](concepts/ladder.md)).

**Start.** The weights in the ticket. The [rewind point](how-to/late-rewinding.md) is `draw.rewind`; where it is
missing from this column, another than 0 is refused. Tickets that start from trained weights say so in `ticket.json`
(`init.role = "trained"`): compare them with one another, not with tickets that start from the initialisation.

## Choosing

* **A reference.** `imp`, or `ltr` where tickets that go back to the initialisation do not train well, is what other
  methods are compared with. It takes a training per level and gives a mask at each density on the way. `gradient` is
  the same ladder by another score, `random-iterative` by lot. `aimp` searches with short trainings; `omp` makes do
  with two trainings and one density.
* **One training.** Pruning at initialisation: `snip`, `grasp`, `synflow`, `force`, `snip-iterative`, `mag-init`.
  Training while the mask moves: `rigl`, `set`, `gmp`; their tickets hold the final mask on the initial weights, and
  the run of that training lies under `search` ([workspace](concepts/workspace.md)).
* **No data.** `synflow`, `mag-init`, and all random masks: `random` over the net; `uniform`, `er`, `erk`, `erk-plus`,
  `balanced`, `pyramidal`, `smartratio` with a density for each layer. Masks that use data have to beat these.
* **What a mask owes to its layer counts.** `from-scores` takes the counts of another ticket and forgets the
  positions, `shuffle` permutes its mask. `--controls` makes the usual ones without a draw of their own
  ([controls](concepts/controls.md)).
* **Hardware.** `nm` for N:M patterns, `earlybird` for whole channels.
* **No trained weights at all.** `supermask`: the mask alone makes the net.
* **A trained net that is to shrink.** `art` and `earlybird` hand on trained weights.

<!-- numbers vary: they depend on the processor -->
```console
$ ticketctl draw --method snip --sparsity 0.9 --epochs 2
...
level   kept  density %  val %  test %
    0  50200     100.00      -       -
    1   5020      10.00  88.81   86.63
...
```

"""

TWEAK_HEAD = """\
# Tweaks

<!-- Written by docs/make_draw_reference.py from the modules in ticketctl/tweaks; do not edit. -->

A tweak changes how a ticket is trained; its mask stays. `ticketctl spend --tweaks skip,swish,ls` spends the ticket with
these three, and beside it without any, so that the table can say what they brought. Several `--tweaks` make several
sets, `--set spend.attribution=true` adds each tweak alone and the dense net with all of them. `at` (skip, swish), `trt`
(ls, scaled-init) and `at+trt` are paper 001's groups. `ticketctl list tweaks NAME` prints a section of this page.

Tweaks combine in any order, and the order typed means nothing. What makes no sense together is refused with the reason.
A key stands in a table of its own, `[tweaks.skip]` in a recipe, `--set tweaks.skip.kind=proj` on the command line.
How to read the table: [spend with tweaks](how-to/spend-with-tweaks.md).

* **Changes.** *net*: layers, of which some may have weights of their own; those are counted, never masked, and called
  `tweak.<name>.…`. *loss*: what is minimised; the history then has `train.objective` beside the cross-entropy.
  *gradient*, *weights*: the steps, or which of their results are kept. *mask*: what is held at zero, for a while or in
  the end. *start*: the weights that training begins from. *course*: another training after the one without it.
* **Cost.** Against the same spend without it, on a CPU ([performance](performance.md)).

"""

METRIC_HEAD = """\
# Metrics

<!-- Written by docs/make_draw_reference.py from the modules in ticketctl/metrics; do not edit. -->

What `ticketctl audit` measures of a trained net ([audit a run](how-to/audit-a-run.md)), `ticketctl probe` of a trained
or untrained one ([probe a ticket](how-to/probe-a-ticket.md)), and `ticketctl transfer` on other data ([transfer a
ticket](how-to/transfer-a-ticket.md)). Each metric is a module; it gives one value or several, each with its standard
error where it has one, and how many examples it was taken over.
`ticketctl list metrics NAME` prints a section of this page.

A key stands in a table of its own, `[metrics.lime]` in a recipe, `--set metrics.lime.images=50` on the command line.

* **Data.** What the net is shown: its own `train` (unaugmented), `val` and `test` images, others that no class of it
  has, corrupted ones; or what its run kept along the training.
* **Verdict.** The values by which LTH-PASS judges a ticket against its dense net (paper 004).
* **Extra.** What has to be installed beside the default: `pip install 'ticketctl[audit]'`. Without it the metric is in
  the report as absent, with the reason; named by `--metrics` it is refused before anything is measured.

"""

CURVE_HEAD = """\
# Curves

<!-- Written by docs/make_draw_reference.py from the modules in ticketctl/curves; do not edit. -->

What `ticketctl interpolate` measures between trained nets, or about one ([interpolate](how-to/interpolate.md)). Each
curve is a module; it gives one value or several, with standard errors, and in the report the arrays to draw it from.
`ticketctl list curves NAME` prints a section of this page.

A key stands in a table of its own, `[curves.line]` in a recipe, `--set curves.line.alphas=101` on the command line.

* **Nets.** How many it takes. Curves about one net and curves between two are asked for in two commands.

"""

FIGURE_HEAD = """\
# Figures

<!-- Written by docs/make_draw_reference.py from the modules in ticketctl/figures; do not edit. -->

What `ticketctl plot` draws ([plot figures](how-to/plot-figures.md)), and `ticketctl report` puts on a page ([make a
report](how-to/make-a-report.md)). Each figure is a module that turns artifacts into a table; the table is painted as it
is, and written as CSV beside the picture. `ticketctl list figures NAME` prints a section of this page.

A key is said as `--set figures.accuracy-sparsity.metric=val.accuracy`. *From* says what a figure is read from: where it
is not there, `ticketctl plot --figure NAME` answers with the command that makes it. *Papers*: figures of this kind
there (000 HyperSparse, 001 ToST, 002 sparse double descent, 003 SGD noise, 004 LTH-PASS). The pictures are of real
runs; [how they were made](how-to/plot-figures.md#the-pictures-of-this-documentation).

"""

TAIL = """
## What the record holds

The page of each method names what `ticket.json` holds of its choice, under `ext`, `ticketctl.levels`, by level. Words
that several methods share:

| key | means |
|---|---|
| `gap` | how clear the cut was: (lowest kept score - highest pruned score) / lowest kept score |
| `zeros` | scores that are exactly 0; if they reach the cut, the tie rule decides there |
| `samples` | how many images were scored with; the record of the ticket lists them, for the deepest level |
| `loss`, `bn`, `precision` | how scores were computed: loss, statistics of BatchNorm, arithmetic |
| `rounds` | rounds of scoring and pruning before the training |
| `dense_layers` | layers that keep all their weights |

Scores that no kept run holds lie in the ticket as `scores.safetensors`, what else a method wrote down on its way as
`record.safetensors` ([formats](reference/formats.md)).
"""


def pages() -> dict[Path, str]:
    """All pages by their place."""
    ours = {name: found for name, found in plugins("draws").items() if found.module.startswith("ticketctl.")}
    table = [f"| method | {' | '.join(COLUMNS.values())} |", "|---" * (len(COLUMNS) + 1) + "|"]
    table += [_row(found) for found in ours.values()]
    rows = "\n".join(["## The methods", "", *table, ""])
    found = {FOLDER / f"{name}.md": _page(found) for name, found in ours.items()}
    others = {TWEAKS: _tweaks(), METRICS: _metrics(), CURVES: _curves(), FIGURES: _figures()}
    return {PAGE: HEAD + rows + TAIL, **others, **found}


def _tweaks() -> str:
    def cells(found: Plugin) -> list[str]:
        return [found.facts["changes"], found.facts["cost"]]

    return TWEAK_HEAD + _listed("tweaks", ["tweak", "changes", "cost"], cells, after=_excludes)


def _metrics() -> str:
    def cells(found: Plugin) -> list[str]:
        verdict = ", ".join(f"`{name}`" for name in found.literals.get("VERDICT", ()))
        command = found.literals.get("COMMAND", "audit")
        return [command, found.facts["data"], found.facts["cost"], verdict, found.literals.get("EXTRA", "")]

    heads = ["metric", "command", "data", "cost", "verdict", "extra"]
    return METRIC_HEAD + _listed("metrics", heads, cells, after=_directions)


def _curves() -> str:
    def cells(found: Plugin) -> list[str]:
        return [found.facts["nets"], found.facts["cost"]]

    return CURVE_HEAD + _listed("curves", ["curve", "nets", "cost"], cells, after=_directions)


def _figures() -> str:
    def cells(found: Plugin) -> list[str]:
        return [found.facts["from"], found.facts["papers"]]

    return FIGURE_HEAD + _listed("figures", ["figure", "from", "papers"], cells, before=_pictures)


def _listed(
    kind: str,
    heads: list[str],
    cells: Callable[[Plugin], list[str]],
    *,
    before: Callable[[Plugin], Iterable[str]] = lambda found: (),
    after: Callable[[Plugin], Iterable[str]] = lambda found: (),
) -> str:
    """A table of our plug-ins of a kind, then a section of each: its own words, `before` its keys, and `after` them."""
    ours = [found for found in plugins(kind).values() if found.module.startswith("ticketctl.")]
    table = [_line([*heads, "what it is"]), "|---" * (len(heads) + 1) + "|"]
    table += [_line([f"[`{each.name}`](#{each.name})", *cells(each), each.help]) for each in ours]
    parts = ["\n".join(table)]
    for each in ours:
        text = describe(kind, each.name).partition("\n\nFacts:")[0]
        parts += [f"## {each.name}", text, *before(each), *_keys(each, kind), *after(each)]
    return "\n\n".join(parts) + "\n"


def _pictures(found: Plugin) -> Iterator[str]:
    own = [path for path in PICTURES.glob("*.svg") if path.name.partition(".")[0] == found.name]
    yield from (f"![{found.help.rstrip('.')}](figures/{path.name})" for path in sorted(own))


def _directions(found: Plugin) -> Iterator[str]:
    ways = found.literals["BETTER"]
    said = [
        f"{way} is better of {', '.join(f'`{name}`' for name in names)}"
        for way in ("higher", "lower")
        if (names := [name for name, its in ways.items() if its == way])
    ]
    if said:
        yield "\n".join(_wrapped(f"{'; '.join(said)}.".capitalize()))


def _excludes(found: Plugin) -> Iterator[str]:
    reasons = [f"`{name}`, because {reason}" for name, reason in found.literals.get("EXCLUDES", {}).items()]
    if reasons:
        yield "\n".join(_wrapped(f"Not together with {'; '.join(reasons)}."))


def _row(found: Plugin) -> str:
    cells = [f"[`{found.name}`](draws/{found.name}.md)", *(found.facts[key] for key in COLUMNS)]
    return _line(cells)


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _page(found: Plugin) -> str:
    text = describe("draws", found.name).partition(f"\n\n{FACTS_TITLE}")[0]
    facts = [_line([COLUMNS[key], found.facts[key]]) for key in COLUMNS]
    parts = [
        f"# {found.name}",
        "<!-- Written by docs/make_draw_reference.py from the method's module; do not edit. -->",
        text,
        "\n".join(["| | |", "|---|---|", *facts]),
        "The columns are explained in [draw methods](../draws.md#reading-the-table).",
        "## Drawing it",
        *_drawing(found),
        "## Keys",
        *_keys(found),
        "## Record",
        _record(found.facts["notes"]),
        "## Controls",
        _controls(found.facts["inverted"]),
        "## Limits",
        f"{_sentence(found.facts['limits'])}",
    ]
    return "\n\n".join(parts) + "\n"


def _drawing(found: Plugin) -> Iterator[str]:
    recipe = tomllib.loads((ROOT / "recipes" / "draw" / f"{found.name}.toml").read_text(encoding="utf-8"))
    needs = getattr(load("draws", found.name), "NEEDS", ())
    given = "".join(f" --set draw.{need}=TICKET" for need in needs)
    yield "<!-- not run: CIFAR-10 is a download, and its training wants a GPU -->\n" + "\n".join(
        [
            "```console",
            f"$ ticketctl draw --method {found.name} --model resnet20s --data cifar10{given}",
            "```",
        ]
    )
    yield "\n".join(
        _wrapped(
            "Without `--model` and `--data` it is LeNet-300-100 on the digits. What is not said comes from the recipe "
            f"[draw/{found.name}](../../recipes/draw/{found.name}.toml) (source: {recipe['source']}):"
        )
    )
    yield f"```toml\n{toml_text({'draw': recipe['draw']}).strip()}\n```"


def _keys(found: Plugin, kind: str = "draws") -> Iterator[str]:
    known = {field.name: field for field in fields(load(kind, found.name).Params)}
    hints = get_type_hints(load(kind, found.name).Params, include_extras=True)
    table = "draw" if kind == "draws" else f"{kind}.{found.name}"
    if known:
        lines = describe(kind, found.name).partition(f"Keys of [{table}]:\n")[2].splitlines()
        meanings = {
            line.strip().partition(": ")[0].partition(" ")[0]: line.partition(": ")[2] for line in lines
        }
        rows = [
            _line([f"`{name}`", _kind(name, hints[name]), _default(field), meanings[name]])
            for name, field in known.items()
        ]
        yield "\n".join([f"| key of `[{table}]` | value | default | meaning |", "|---|---|---|---|", *rows])
    else:
        yield "It has no keys of its own."
    if kind == "draws":
        yield "Keys that all methods share: [recipe keys](../reference/recipes-keys.md#draw)."


def _kind(name: str, hint: Any) -> str:
    """A type as people say it."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return f"{_kind(name, parts[0])}; or none"
    if origin is Literal:
        return ", ".join(f"`{part}`" for part in parts)
    if origin is Annotated and parts[0] is not Fraction:
        return ", ".join([_kind(name, parts[0]), *_bounds(parts[1:])])
    if origin is tuple:
        return f"list of {_kind(name, parts[0])}s"
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return f"table of {_kind(name, parts[1])}s"
    if hint is str and name in POINTS:
        return "point"
    words = {
        str: "text",
        int: "whole number",
        float: "number",
        bool: "true or false",
        Fraction: "exact number",
    }
    return words[parts[0] if origin is Annotated else hint]


def _bounds(notes: tuple[Any, ...]) -> Iterator[str]:
    for note in notes:
        for bound in getattr(note, "metadata", ()):
            for key, word in (("ge", "at least"), ("gt", "above"), ("le", "at most"), ("lt", "below")):
                if hasattr(bound, key):
                    yield f"{word} {getattr(bound, key)}"


def _default(field: Field[Any]) -> str:
    value = field.default if field.default is not MISSING else {}
    if value is None:
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        return f"`{list(value)!r}`"
    return f"`{value!r}`" if isinstance(value, int | float | dict) else f'`"{value}"`'


def _record(notes: str) -> str:
    if notes == "nothing":
        return "Nothing beside the counts, what the mask cuts off, and the metrics of each level."
    where = "[what the record holds](../draws.md#what-the-record-holds)"
    return "\n".join(_wrapped(f"{_sentence(notes)} The rest: {where}."))


def _controls(inverted: str) -> str:
    made, _, ranked = inverted.partition("; ")
    if made == "no":
        last = (
            "There is no `inverted`: the draw leaves neither scores nor a fully trained dense net to invert."
        )
    else:
        when = "" if made == "yes" else f" {made.replace('with ', 'with `draw.')}`"
        last = f"`inverted` is made too{when}: as many weights, those ranked lowest {ranked}."
    where = "([controls](../concepts/controls.md))"
    return "\n".join(_wrapped(f"`--controls` makes `shuffled`, `reinit` and `random-erk` {where}. {last}"))


def _sentence(text: str) -> str:
    return "\n".join(_wrapped(f"{text[0].upper()}{text[1:]}."))


def _wrapped(text: str) -> list[str]:
    """Lines of at most 120 characters."""
    return textwrap.wrap(" ".join(text.split()), 118, break_long_words=False, break_on_hyphens=False)


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")
