"""What the child behind the fence answers, without the two seconds in which it starts: its own code, in process."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import pytest

from ticketctl.errors import ArtifactError
from ticketctl.fence import child
from ticketctl.fence.reader import Fence


def _ask(fence: Fence, data: bytes, where: str) -> list[bytes]:
    try:
        with warnings.catch_warnings():  # nobody hears those of the child
            warnings.simplefilter("ignore")
            return list(child.neutral(data))
    except child.RefusedError as why:
        raise ArtifactError("E_FORMAT", f"{where}: {why}") from None


@pytest.fixture(scope="module", autouse=True)
def unfenced() -> Iterator[None]:
    """Import it into a test file whose subject is what is read, and not how; `tests/fence` tests the fence itself."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Fence, "ask", _ask)
        yield
