"""The options that several commands share: each stands here once, and is worth its place."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields, is_dataclass
from fractions import Fraction
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from ticketctl.cli import complete
from ticketctl.errors import UsageError, of_percent
from ticketctl.store.expand import expanded

Model = Annotated[
    str | None, typer.Option(help="The net (ticketctl list models).", autocompletion=complete.models)
]
Data = Annotated[
    str | None,
    typer.Option(
        help="The data set (ticketctl list data); some take a path: imagefolder:PATH.",
        autocompletion=complete.data,
    ),
]
Method = Annotated[
    str | None,
    typer.Option(help="The draw method (ticketctl list methods).", autocompletion=complete.methods),
]
RecipeName = Annotated[
    str | None,
    typer.Option(
        "--recipe",
        help="A shipped recipe (ticketctl recipes) or a TOML file of yours.",
        autocompletion=complete.recipes,
    ),
]
Sets = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="Any recipe key: --set train.lr=0.05. Repeatable.",
        autocompletion=complete.settings,
    ),
]
FigureSets = Annotated[
    list[str] | None,
    typer.Option("--set", help="A figure's key: --set figures.radar.sparsity=90. Repeatable."),
]
Seeds = Annotated[str | None, typer.Option("--seed", help="A seed, or several: 0, 0-2, 42,1099.")]
Level = Annotated[
    str | None,
    typer.Option(help="A level, several (3,8-10), a sparsity (0.97), or all. Default: the deepest."),
]
Rounds = Annotated[int | None, typer.Option(min=0, max=254, help="Pruning rounds; 0: the dense net alone.")]
Density = Annotated[str | None, typer.Option(help="Kept share of the prunable weights, exactly: 0.03.")]
Sparsity = Annotated[str | None, typer.Option(help="1 - density: 0.97.")]
Rewind = Annotated[str | None, typer.Option(help="Where levels start from: 0, 1000it, 2ep, 18%.")]
Epochs = Annotated[
    int | None,
    typer.Option(min=1, help="Stretch the recipe to this many epochs; lengths that you type stay."),
]
Scale = Annotated[
    float | None,
    typer.Option(min=1e-6, max=1e4, help="Stretch the recipe by this factor; lengths that you type stay."),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N.", autocompletion=complete.devices)]
Devices = Annotated[
    int,
    typer.Option("--devices", min=1, max=64, help="GPUs that share each training, or processes on a CPU."),
]
Out = Annotated[Path | None, typer.Option(help="Folder to write to, instead of one in the workspace.")]
Workspace = Annotated[
    Path,
    typer.Option(envvar="TICKETCTL_WORKSPACE", help="Where tickets and runs are kept.", show_default=True),
]
DataDir = Annotated[Path | None, typer.Option(help="Folder that holds the data set's own files.")]
Offline = Annotated[bool, typer.Option("--offline", help="Never use the network.")]
Controls = Annotated[
    bool, typer.Option("--controls", help="Also the shuffled, reinit, random-erk and inverted controls.")
]
Deterministic = Annotated[
    bool,
    typer.Option(
        "--deterministic", help="On a GPU, only kernels that give the same bits in every run; slower."
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done and what it would cost.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Quiet = Annotated[
    bool,
    typer.Option(
        "--quiet",
        "-q",
        help="No progress on stderr; what changes how a result is to be read is said all the same.",
    ),
]

DEFAULT_WORKSPACE = Path("runs")


def nets(text: str, known: Callable[..., Any] = complete.tickets, metavar: str = "NET") -> Any:
    """The argument that names tickets, runs or both; `text` is its help, `known` completes it."""
    return typer.Argument(metavar=metavar, help=text, autocompletion=known)


def metrics(text: str, known: Callable[..., Any] = complete.metrics) -> Any:
    """The option that names what to measure."""
    return typer.Option("--metrics", help=text, autocompletion=known)


MOST_SEED = (1 << 53) - 1


def one_seed(text: str) -> int:
    """What `--seed` says where one is taken.

    Raises:
        UsageError: no whole number from 0 to 2 ** 53 - 1, or several.
    """
    if not str(text).isdecimal() or int(text) > MOST_SEED:
        raise UsageError(f"--seed: one is taken here, a whole number from 0 to {MOST_SEED}, not {text!r}")
    return int(text)


def seed(text: str) -> Any:
    """The option of a single seed; `text` says of what."""
    return typer.Option(parser=one_seed, metavar="<int>", help=text)


@dataclass(frozen=True)
class Manner:
    """How a command works, and what it says."""

    data_dir: DataDir = None
    offline: Offline = False
    dry_run: DryRun = False
    json: Json = False
    quiet: Quiet = False

    def at(self, device: str, workspace: Path, data: str | None = None) -> Site:
        """With the place, where a command has further options between the place's."""
        return Site(**vars(self), device=device, workspace=workspace, data=data)


@dataclass(frozen=True)
class Site(Manner):
    """Where it works, too."""

    device: Device = "auto"
    workspace: Workspace = DEFAULT_WORKSPACE
    data: Data = None


def spread(command: Callable[..., None]) -> Callable[..., None]:
    """The command as typer is to see it: arguments that are groups, as `Manner`, as single options at their place."""
    taken = inspect.signature(command, eval_str=True).parameters.values()
    groups: dict[str, type[Any]] = {
        one.name: one.annotation
        for one in taken
        if isinstance(one.annotation, type) and is_dataclass(one.annotation)
    }
    options = {name: _options(group) for name, group in groups.items()}
    shown = [option for one in taken for option in options.get(one.name, [one])]

    @wraps(command)
    def typed(**said: Any) -> None:
        own = {
            name: groups[name](**{option.name: said.pop(option.name) for option in mine})
            for name, mine in options.items()
        }
        command(**said, **own)

    typed.__signature__ = inspect.Signature(  # type: ignore[attr-defined]  # mypy knows no such attribute; typer reads it
        [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in shown]
    )
    return typed


def at_home(command: Callable[..., None]) -> Callable[..., None]:
    """The command, with the home folder in the place of `~` in every path that it is given, typed or by a variable."""

    @wraps(command)
    def typed(**said: Any) -> None:
        command(**{name: expanded(one) if isinstance(one, Path) else one for name, one in said.items()})

    return typed


def _options(group: type[Any]) -> list[inspect.Parameter]:
    """Of a group; its own stand before those that it inherits."""
    hints = get_type_hints(group, include_extras=True)
    empty = inspect.Parameter.empty  # of an argument that has to be typed
    defaults = {one.name: empty if one.default is MISSING else one.default for one in fields(group)}
    names = [name for base in group.__mro__ for name in inspect.get_annotations(base)]
    kind = inspect.Parameter.KEYWORD_ONLY
    return [inspect.Parameter(name, kind, default=defaults[name], annotation=hints[name]) for name in names]


def where(at: Site, *, out: Path | None = None, controls: bool = False) -> list[str]:
    """The words of a command line that say where it works: the workspace, and what is not at its default."""
    pairs = [("--out", out), ("--data", at.data), ("--data-dir", at.data_dir)]
    words = [
        "--workspace",
        str(at.workspace),
        *(str(word) for pair in pairs if pair[1] is not None for word in pair),
    ]
    words += ["--device", at.device] if at.device != "auto" else []
    return words + ["--offline"] * at.offline + ["--controls"] * controls


def density_of(density: str | None, sparsity: str | None) -> Fraction | None:
    """The exact density that was typed, in either form.

    Raises:
        UsageError: both were given, or no number in (0, 1].
    """
    if density is not None and sparsity is not None:
        raise UsageError("--density and --sparsity say the same thing; give one of them")
    text = density if density is not None else sparsity
    if text is None:
        return None
    if not re.fullmatch(r"\d*\.?\d+(/\d+)?", text) or text.endswith("/0"):
        raise UsageError(f"{text!r} is not a share: write a number such as 0.03, or 1/32")
    value = Fraction(text) if density is not None else 1 - Fraction(text)
    if not 0 < value <= 1:
        share = (
            "--density: a density lies in (0, 1]"
            if density is not None
            else "--sparsity: a sparsity lies in [0, 1)"
        )
        raise UsageError(f"{share}{of_percent(Fraction(text))}, not {text}")
    return value


def scale_of(scale: float | None, epochs: int | None) -> Fraction | None:
    """The exact factor that was typed.

    Raises:
        UsageError: not a finite number, or `--epochs` was given too.
    """
    if scale is None:
        return None
    if epochs is not None:
        raise UsageError("--epochs and --scale both stretch the recipe; give one of them")
    if not math.isfinite(scale):
        raise UsageError(f"--scale {scale}: write a number such as 0.1")
    return Fraction(str(scale))


def seeds_of(text: str | None) -> list[int] | None:
    """The seeds in `0`, `0-2` or `42,1099`.

    Raises:
        UsageError: anything else, or more than 1000.
    """
    if text is None:
        return None
    seeds: list[int] = []
    for part in text.split(","):
        found = re.fullmatch(r"\s*(\d{1,15})(?:-(\d{1,15}))?\s*", part)
        if (
            not found
            or int(found[2] or found[1]) < int(found[1])
            or int(found[2] or found[1]) - int(found[1]) > 999
        ):
            raise UsageError(f"--seed {text!r}: write 0, 0-2 or 42,1099 (1000 seeds, 18 digits at most)")
        seeds += range(int(found[1]), int(found[2] or found[1]) + 1)
    return list(dict.fromkeys(seeds))
