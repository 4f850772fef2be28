"""A training that ranks share, before it begins: rank 0 says from where, under which mask, and what is refused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ticketctl.errors import UsageError
from ticketctl.masks.mask import Mask
from ticketctl.train.fitfiles import FitFiles
from ticketctl.train.hooks import Hooks, overrides
from ticketctl.train.state import State

if TYPE_CHECKING:
    from ticketctl.train.ranks import Ranks


def led(
    ranks: Ranks, start: State, mask: Mask | None, files: FitFiles, about: Sequence[Any]
) -> tuple[State, Mask | None, FitFiles]:
    """Start, mask and folder as rank 0 has them; all ranks must be about to do the same training.

    Raises:
        TicketctlError: a rank is at another one.
    """
    from ticketctl.train.rank_files import RankFiles  # only here, so that one process loads nothing of it

    ranks.check_same(
        files.folder.name, {"about": list(about), "step": start.step, "masked": mask is not None}
    )
    whole = None if mask is None else ranks.led_mask(mask)
    return ranks.led_state(start), whole, RankFiles(files.folder, ranks)


def check_hooks(hooks: Sequence[Hooks]) -> None:
    """Refuse what a slice of a batch cannot give the sum of.

    Raises:
        UsageError: a hook that changes loss or forward pass does not say that it treats images apart.
    """
    for hook in hooks:
        if not hook.by_image and (overrides(hook, "loss") or overrides(hook, "forward")):
            said = hook.identity()
            name = next((said[key] for key in ("tweak", "name", "hook") if key in said), type(hook).__name__)
            raise UsageError(
                f"--devices: {name} is not supported on several devices: its loss or forward pass does not say that it "
                "treats images apart (Hooks.by_image); take --devices 1"
            )
