"""What stands in the file of a paper's table: recipes/README.md, Tables."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field, model_validator

from ticketctl.recipe_base import Rational, Spec
from ticketctl.stages.measured import Of

Scalar = str | bool | int | Decimal
Unit = Literal["percent", "share", "points", "epochs", "number"]
"""Percent: of what is measured as a share in [0, 1]; points: of what is measured in percent points, as barriers are."""


class Row(Spec):
    """`[[row]]`: the cells that share a recipe."""

    name: str
    """As the paper names it."""
    recipe: str
    """The shipped recipe that draws, or trains, what the row reports."""
    tweaks: tuple[str, ...] = ()
    """What the ticket is spent with."""
    control: str = ""
    """The kind of control, where not the ticket itself is reported."""
    sets: dict[str, Scalar] = Field(default_factory=dict)
    """Recipe keys that differ from the recipe's."""
    unknown: tuple[str, ...] = ()
    """Recipe keys that the paper does not tell, so that any value will do."""
    over: str = "sparsity"
    """What the cells' names are: sparsities in percent, values of a recipe key, ends of a metric's name, targets, or
    epochs of the training after which its weights are measured."""
    sparsity: Annotated[Rational, Field(ge=0, lt=100)] | None = None
    """Of the whole row in percent, where `over` is a recipe key, metric or target."""
    cells: tuple[str, ...] = ()
    """Cells without a printed value."""
    values: dict[str, Decimal] = Field(default_factory=dict)
    """What is printed."""
    deviations: dict[str, Decimal] = Field(default_factory=dict)
    """What is printed after the plus-minus sign."""
    nonconverged: tuple[str, ...] = ()
    """Cells of which the paper says that some run did not learn."""
    metric: str | None = None
    """Instead of the table's."""
    unit: Unit | None = None
    """Instead of the table's."""
    audit: str | None = None
    """Instead of the table's."""
    explore: str | None = None
    """Instead of the table's."""
    of: Of | None = None
    """Instead of the table's."""

    @model_validator(mode="after")
    def _hangs_together(self) -> Row:
        if set(self.cells) & set(self.values) or not (self.cells or self.values):
            raise ValueError("a cell stands in cells or in values, and there is at least one")
        if not {*self.deviations, *self.nonconverged} <= set(self.values):
            raise ValueError("deviations and nonconverged name cells of values")
        if self.over not in ("sparsity", "metric", "target", "epoch") and "." not in self.over:
            raise ValueError(
                f"over: must be sparsity, metric, target, epoch or a recipe key, as train.lr, not {self.over!r}"
            )
        wants = "." in self.over or self.over in ("target", "epoch")
        if self.sparsity is None if wants else self.sparsity is not None and self.over == "sparsity":
            raise ValueError(
                "say sparsity where `over` is a recipe key, target or epoch, and only there or where it is metric"
            )
        if (self.tweaks or self.control) and (self.of or "trained") not in ("trained", "before"):
            raise ValueError(f"of: {self.of} is of the ticket itself, without tweaks, and of no control")
        return self


class TableSpec(Spec):
    """A whole file."""

    title: str
    paper: str
    table: str
    source: str
    note: str
    seeds: Annotated[int, Field(ge=1)] | None = None
    seed_list: tuple[Annotated[int, Field(ge=0, lt=2**53)], ...] = ()
    """Those runs' seeds, where the paper names them."""
    metric: str
    unit: Unit
    audit: str | None = None
    """The recipe of the audits that metrics are read from: `audit/lth-pass`."""
    explore: str | None = None
    """The recipe of the probes, transfers or interpolations that metrics are read from: `probe/linear`."""
    of: Of = "trained"
    """Which net these are of."""
    row: tuple[Row, ...]

    @model_validator(mode="after")
    def _counts_its_seeds(self) -> TableSpec:
        if self.seed_list and len({*self.seed_list}) != self.seeds:
            raise ValueError("seed_list has as many different seeds as `seeds` says")
        return self
