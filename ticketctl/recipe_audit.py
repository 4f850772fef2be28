"""What the recipe of an audit says: `[audit]`, `[verdict]`, and the keys of each metric, `[metrics.lime]`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, ValidationError

from ticketctl.errors import UsageError, near_miss
from ticketctl.plugins import metrics_of, odd_key, plugins, wrong_command
from ticketctl.recipe_base import Command, Measuring, Spec, fault, others, shown

_SET = re.compile(r"[a-z0-9][a-z0-9-]*")


class AuditSpec(Spec):
    """`[audit]`."""

    metrics: tuple[str, ...] = ()
    """What is measured, as in `ticketctl list metrics`; none: all but those that are long or want to be asked for."""
    images: Annotated[int, Field(ge=2)] | None = None
    """Of each set at most so many images, drawn by the seed; none: all."""
    ood: tuple[str, ...] | None = None
    """Data sets, or noise, to be told from the test images; none: the kin of the data set that are here, and noise."""
    corruptions: Literal["standard", "all"] | tuple[str, ...] = "standard"
    """The 15 standard corruptions, all 19 as the released code has it, or those named."""
    severities: tuple[Annotated[int, Field(ge=1, le=5)], ...] = (1, 2, 3, 4, 5)
    """Of each corruption."""
    corrupted: str | None = None
    """Folder with corrupted test images: CIFAR-10-C, CIFAR-100-C or ImageNet-C as published; none: ours are made."""
    frost: str | None = None
    """Folder with the photographs of frost; none: a texture of our own."""


class VerdictSpec(Spec):
    """`[verdict]`: by which rule a net is held against its dense net (paper 004, section 4.5)."""

    winning: Literal["s003", "s004"] = "s004"
    """Of accuracy: `s003` not below the dense net, `s004` at most one point below."""
    tol_rel: Annotated[float, Field(ge=0)] = 0.0
    """Of the other metrics: the share of the dense mean by which the net may be worse."""
    compositional: bool = False
    """Whether compositional neurons are required too."""
    corruptions: Literal[15, 19] = 15
    """mCE is over the standard ones, or also over the four more of the released code."""
    ood: str | None = None
    """The set whose AUROC counts; none: the first by name, noise where there is no other."""


class AuditRecipe(Measuring):
    """The whole recipe of an audit, resolved."""

    TABLE: ClassVar[Command] = "audit"
    audit: AuditSpec = AuditSpec()
    verdict: VerdictSpec = VerdictSpec()
    metrics: dict[str, dict[str, Any]] = {}
    """Keys of single metrics, in a table for each."""

    @property
    def chosen(self) -> tuple[str, ...]:
        """The metrics, sorted: those that were named, or all that do not say ASKED."""
        return tuple(sorted(set(self.audit.metrics or metrics_of("audit"))))

    @property
    def spec(self) -> dict[str, Any]:
        """What of `[audit]` every value depends on; its other sets are told apart where they are shown."""
        return self.audit.model_dump(mode="json", include={"images"})


def parse_audit(tables: Mapping[str, Any], *, where: str) -> AuditRecipe:
    """Check merged tables and make the recipe of an audit.

    Raises:
        UsageError: an unknown table, metric or key (with the near miss), or a value of the wrong kind, with its place.
    """
    if "train" in tables:
        raise UsageError(f"{where}: trains, and an audit does not; its recipes begin with audit/")
    table = tables.get("metrics")
    if isinstance(table, Mapping):
        odd = next((key for key, value in table.items() if not isinstance(value, Mapping)), None)
        if odd is not None:
            raise UsageError(f"{where}: metrics.{odd}: write metrics.NAME.KEY, not {shown(table[odd])}")
    audit = tables.get("audit")
    kinds = audit.get("corruptions", "all") if isinstance(audit, Mapping) else "all"
    if isinstance(kinds, str) and kinds not in ("standard", "all"):
        raise UsageError(
            f'{where}: audit.corruptions: must be standard, all or a list, as ["fog"], not {kinds!r}'
        )
    try:
        found = AuditRecipe.model_validate(tables)
    except ValidationError as error:
        raise UsageError(f"{where}: {fault(error, AuditRecipe)}{others(error)}") from None
    wrong = _wrong(found)
    if wrong:
        raise UsageError(f"{where}: {wrong}")
    return found


def _of(row: str) -> str:
    """Of which metric a value is that has this name; "" if of none."""
    for name, one in plugins("metrics").items():
        if row in (*one.literals.get("BETTER", ()), *one.literals.get("VERDICT", ())):
            return f"it is a value of {name}"
    return ""


def _wrong(recipe: AuditRecipe) -> str:
    """What no type says, or ""."""
    known, spec = plugins("metrics"), recipe.audit
    for name in (*spec.metrics, *recipe.metrics):
        if name not in known:
            return f"no metric named {name!r}; {_of(name) or near_miss(name, known)}"
        if wrong := wrong_command(name, "audit"):
            return wrong
    for name, table in recipe.metrics.items():
        if wrong := odd_key("metrics", name, table):
            return wrong
    sets = [name.partition(":")[0] for name in spec.ood or ()]
    twice = next((name for name in sets if sets.count(name) > 1), None)
    if twice is not None:
        return f"audit.ood: two sets called {twice}"
    judged = recipe.verdict.ood
    if judged is not None and (_SET.fullmatch(judged) is None or (sets and judged not in sets)):
        there = ", ".join(sets) or "noise, cifar100, …"
        return f"verdict.ood: must be one of the sets of audit.ood ({there}), not {judged!r}"
    empty = next((key for key in ("severities", "corruptions") if not getattr(spec, key)), None)
    return f"audit.{empty}: must name one at least" if empty else ""
