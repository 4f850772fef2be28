"""The processes that share one run, each with a device of its own: ranks.

Every rank runs the same trainings over the same tables of order and augmentation, and computes its slice of every
batch; sums go over all ranks (`train.slices`). Rank 0 leads: it alone writes, and where ranks could decide differently
its decision is what counts. Two groups connect them: one for sums, on the devices (NCCL, or Gloo on a CPU), and one for
words, always Gloo. Everything here is called by all ranks in the same order.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from ticketctl.errors import ResourceError, TicketctlError
from ticketctl.masks.mask import Mask
from ticketctl.store.documents import canonical_json, parse_json
from ticketctl.train.slices import Slice, parted
from ticketctl.train.state import State

STEP_TIMEOUT = timedelta(minutes=30)
"""A sum that takes longer has lost a rank that did not die."""

WORD_TIMEOUT = timedelta(days=1)
"""What rank 0 does alone, downloads among it, takes no longer; a rank that dies is noticed at once."""


class LostRankError(ResourceError):
    """Another rank is gone, or does not answer."""


@dataclass(frozen=True, eq=False)
class Ranks:
    """This process among those that share a run."""

    rank: int
    size: int
    device: torch.device
    words: Any
    """The group for decisions, texts and digests, on the CPU."""

    @property
    def leads(self) -> bool:
        """Whether this is rank 0."""
        return self.rank == 0

    # ------------------------------------------------------------------------------------------------ sums of a step

    def slice_of(self, count: int) -> Slice:
        """This rank's images of a batch of `count`; of fewer images than ranks every rank takes all."""
        return Slice(self, count, *parted(count, self.rank, self.size))

    def sum_(self, value: Tensor) -> Tensor:
        """`value`, on the device, summed over all ranks in place: the same bits on each."""
        with _listening():
            dist.all_reduce(value)
        return value

    def gathered(self, value: Tensor) -> Tensor:
        """[ranks, ...]: the `value` of every rank, of one shape, on the device."""
        with _listening():
            found = [torch.empty_like(value) for _ in range(self.size)]
            dist.all_gather(found, value)
        return torch.stack(found)

    # ------------------------------------------------------------------------------------------- decisions and texts

    def agree(self, *flags: int) -> tuple[int, ...]:
        """The largest that any rank says of each flag."""
        said = torch.tensor(flags, dtype=torch.int64)
        with _listening():
            dist.all_reduce(said, dist.ReduceOp.MAX, group=self.words)
        return tuple(said.tolist())

    def leading(self, flag: bool) -> bool:
        """What rank 0 says of it."""
        return bool(self.agree(int(flag and self.leads))[0])

    def led(self, data: bytes) -> bytes:
        """The bytes that rank 0 has."""
        length = int(self._from_0(torch.tensor([len(data)])))
        if not length:
            return b""
        sent = torch.frombuffer(bytearray(data), dtype=torch.uint8) if self.leads else None
        held = torch.empty(length, dtype=torch.uint8) if sent is None else sent
        return self._from_0(held).numpy().tobytes()

    def told(self, record: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The record that rank 0 gives; the others give none, and wait for it."""
        found = parse_json(self.led(canonical_json(record or {})), where="rank 0")
        assert isinstance(found, dict)
        return found

    def _from_0(self, value: Tensor) -> Tensor:
        with _listening():
            dist.broadcast(value, 0, group=self.words)
        return value

    # --------------------------------------------------------------------------------------------- weights and masks

    @torch.no_grad()
    def lead_(self, tensors: Sequence[Tensor]) -> None:
        """Give all ranks the values of rank 0, in place."""
        for value in tensors:
            sent = value.detach().cpu().contiguous()
            self._from_0(sent)
            if not self.leads:
                value.copy_(sent)

    def led_state(self, state: State) -> State:
        """Weights and buffers as rank 0 has them."""
        weights = {name: value.clone() for name, value in state.weights.items()}
        self.lead_(list(weights.values()))
        return State(weights, state.step)

    def led_mask(self, mask: Mask) -> Mask:
        """The mask that rank 0 has decided on."""
        bits = {name: keep.to(torch.uint8) for name, keep in mask.keep.items()}
        self.lead_(list(bits.values()))
        return Mask({name: value.bool() for name, value in bits.items()})

    def check(self, what: str, tensors: Mapping[str, Tensor]) -> None:
        """Compare the SHA-256 of these tensors over all ranks.

        Raises:
            TicketctlError: a rank has others than rank 0; names it and the first of them.
        """
        each = {name: _digest(value) for name, value in tensors.items()}
        whole = self._heard(hashlib.sha256(b"".join(each.values())).digest())
        if len(set(whole)) == 1:
            return
        for name, digest in each.items():
            said = self._heard(digest)
            odd = [rank for rank, theirs in enumerate(said) if theirs != said[0]]
            if odd:
                raise TicketctlError(
                    f"{what}: rank {odd[0]} has another {name} than rank 0 (SHA-256 {said[odd[0]].hex()[:12]}, not "
                    f"{said[0].hex()[:12]}); nothing of it is written; the same command begins at the last checkpoint"
                )

    def check_same(self, what: str, record: Mapping[str, Any]) -> None:
        """Refuse to go on where ranks are about to do different things.

        Raises:
            TicketctlError: names the rank.
        """
        said = self._heard(hashlib.sha256(canonical_json(record)).digest())
        odd = [rank for rank, theirs in enumerate(said) if theirs != said[0]]
        if odd:
            raise TicketctlError(f"{what}: rank {odd[0]} is at something else than rank 0")

    def _heard(self, digest: bytes) -> list[bytes]:
        mine = torch.frombuffer(bytearray(digest), dtype=torch.uint8)
        found = [torch.empty_like(mine) for _ in range(self.size)]
        with _listening():
            dist.all_gather(found, mine, group=self.words)
        return [value.numpy().tobytes() for value in found]


def _digest(value: Tensor) -> bytes:
    flat = value.detach().cpu().contiguous().reshape(-1)
    return hashlib.sha256(flat.view(torch.uint8).numpy().tobytes()).digest()


@contextmanager
def _listening() -> Iterator[None]:
    """What torch says of a broken connection, in words of ours."""
    try:
        yield
    except RuntimeError as error:
        reason = re.sub(r"\[/[^]]*\] ?", "", str(error).splitlines()[0]).partition(". ")[0][:120]
        raise LostRankError(
            f"another process of this run (a rank) is gone or does not answer ({reason}); everything up to the last "
            "checkpoint is kept, and the same command goes on from there"
        ) from error


@contextmanager
def joined(device: torch.device) -> Iterator[Ranks]:
    """This process among the ranks that its environment names, as torchrun sets it: RANK, WORLD_SIZE, MASTER_ADDR, ….

    Args:
        device: what this rank computes on.

    Raises:
        LostRankError: the others cannot be reached.
    """
    backend = "nccl" if device.type == "cuda" else "gloo"
    if device.type == "cuda":
        torch.cuda.set_device(device)
    with _listening():
        dist.init_process_group(backend, timeout=STEP_TIMEOUT)
        words = dist.new_group(backend="gloo", timeout=WORD_TIMEOUT)
    yield Ranks(int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]), device, words)
    dist.destroy_process_group()  # not after an error: it would wait for a rank that is gone
