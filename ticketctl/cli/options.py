"""The options that several commands share; frozen early, so each is worth its place."""

from __future__ import annotations

import math
import re
from fractions import Fraction
from pathlib import Path
from typing import Annotated

import typer

from ticketctl.cli import complete
from ticketctl.errors import UsageError, of_percent

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
Rounds = Annotated[int | None, typer.Option(min=0, max=254, help="Pruning rounds; 0: the dense net alone.")]
Density = Annotated[str | None, typer.Option(help="Kept share of the prunable weights, exactly: 0.03.")]
Sparsity = Annotated[str | None, typer.Option(help="1 - density: 0.97.")]
Rewind = Annotated[str | None, typer.Option(help="Where levels start from: 0, 1000it, 2ep, 18%.")]
Epochs = Annotated[int | None, typer.Option(min=1, help="Stretch the recipe to this many epochs.")]
Scale = Annotated[float | None, typer.Option(min=1e-6, max=1e4, help="Stretch the recipe by this factor.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N.", autocompletion=complete.devices)]
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


def where(
    *,
    workspace: Path,
    out: Path | None = None,
    device: str = "auto",
    data: str | None = None,
    data_dir: Path | None = None,
    offline: bool = False,
    controls: bool = False,
) -> list[str]:
    """The words of a command line that say where it works: the workspace, and what is not at its default."""
    pairs = [("--out", out), ("--data", data), ("--data-dir", data_dir)]
    words = [
        "--workspace",
        str(workspace),
        *(str(word) for pair in pairs if pair[1] is not None for word in pair),
    ]
    words += ["--device", device] if device != "auto" else []
    return words + ["--offline"] * offline + ["--controls"] * controls


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
