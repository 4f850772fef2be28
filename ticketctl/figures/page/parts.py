"""What stands on a report page, as plain words: nothing of it is HTML, and nothing of it is trusted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Table:
    """A table of words.

    Raises:
        ValueError: a row of another length than the columns.
    """

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    words: int = 1
    """Columns that are flush left, from the first; the others are numbers."""
    beyond: str = ""
    """Where all rows stand, if there are more than are shown."""
    headed: bool = True
    """Whether the first cell of a row names it."""
    folded: bool = False
    """Whether it is unfolded by its reader."""

    def __post_init__(self) -> None:
        if any(len(row) != len(self.columns) for row in self.rows):
            raise ValueError(f"{self.caption}: rows of other columns than {', '.join(self.columns)}")


@dataclass(frozen=True)
class Figure:
    """A picture with all that belongs to it."""

    name: str
    """Of its files."""
    title: str
    alt: str
    kind: str
    """svg or png."""
    picture: bytes
    width: int
    height: int
    """In pixels of a page."""
    notes: tuple[str, ...]
    table: Table
    sources: str
    """Ids of what it was read from."""
    command: str

    @property
    def figure(self) -> str:
        """By its name; this may be a part of it."""
        return self.name.partition(".")[0]


@dataclass(frozen=True)
class Verdict:
    """What an audit found."""

    title: str
    said: tuple[str, ...]
    tables: tuple[Table, ...]


@dataclass(frozen=True)
class Text:
    """A text to be copied, or a command with what it makes again."""

    title: str
    text: str


@dataclass(frozen=True)
class Tile:
    """A cell of a map."""

    said: str
    """Its mean and interval, and signs for what is missing or diverged."""
    commands: str
    """What makes its runs again, a line each."""


@dataclass(frozen=True)
class Map:
    """Two axes of a sweep against each other; a cell that is no combination is empty."""

    caption: str
    corner: str
    """The names of both axes."""
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Tile | None, ...]], ...]


@dataclass(frozen=True)
class SweepPart:
    """What a page says of a sweep."""

    said: tuple[str, ...]
    maps: tuple[Map, ...]
    tables: tuple[Table, ...]
    remarks: tuple[str, ...]


@dataclass(frozen=True)
class Page:
    """All of it."""

    title: str
    tool: str
    """Version of ticketctl."""
    summary: tuple[str, ...]
    tickets: tuple[Table, ...] = ()
    results: tuple[Table, ...] = ()
    remarks: tuple[str, ...] = ()
    """How the results are to be read."""
    figures: tuple[Figure, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    provenance: tuple[Table, ...] = ()
    recipes: tuple[Text, ...] = ()
    commands: tuple[Text, ...] = ()
    standins: tuple[Text, ...] = ()
    """Words in commands that stand for something else."""
    without: Callable[[str], str] = str
    """The command that draws figures that have no room on the page, named with commas."""
    places: tuple[str, ...] = ()
    """Folders of the maker's, which do not stand on it."""
    sweep: SweepPart | None = None
