"""The fence: a hostile pickle runs nothing, takes little, and costs one line; what is sound comes through whole."""

from __future__ import annotations

import argparse
import collections
import io
import os
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ticketctl.errors import ArtifactError
from ticketctl.fence import reader
from ticketctl.fence.reader import DEEP, MANY, Fence
from ticketctl.fence.values import Sparse
from ticketctl.store.tensors import Tensor, pack_tensors

CANARY = "hf_canary_of_a_token"


@pytest.fixture(scope="module")
def fence() -> Iterator[Fence]:
    """One child for all: it takes two seconds to start."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_TOKEN", CANARY)
        patch.setenv("PYTHONSTARTUP", "/nowhere")
        patch.chdir("/")
        with Fence() as found:
            yield found


def saved(value: Any, **more: Any) -> bytes:
    file = io.BytesIO()
    torch.save(value, file, **more)
    return file.getvalue()


def archive(pickled: bytes, storage: bytes | None = None, kind: int = zipfile.ZIP_STORED) -> bytes:
    """A file as torch.save lays it out, around a pickle of one's own."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", kind) as members:
        members.writestr("archive/data.pkl", pickled)
        members.writestr("archive/version", "3\n")
        members.writestr("archive/byteorder", "little")
        if storage is not None:
            members.writestr("archive/data/0", storage)
    return file.getvalue()


def tensor_of(count: int) -> bytes:
    """The pickle of a float tensor of `count` values."""
    number = b"J" + count.to_bytes(4, "little")
    storage = (
        b"((X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpu"
        + number
        + b"tQ"
    )
    return (
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n"
        + storage
        + b"K\x00"
        + number
        + b"\x85K\x01\x85\x89ccollections\nOrderedDict\n)RtR."
    )


class _Runs:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.path}",)


class _Net(torch.nn.Linear):
    pass


def _within_itself() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


def _laughs() -> list[Any]:
    """Ten billion values in a kilobyte."""
    value: list[Any] = [1] * 10
    for _ in range(9):
        value = [value] * 10
    return value


HOSTILE = {
    "a pickled net": (lambda: saved({"net": _Net(2, 2)}), r"a pickled _Net|_Net"),
    "a module of torch's": (lambda: saved(torch.nn.ReLU()), r"a pickled ReLU \(torch\.nn.*save its state_dict"),
    "eval": (lambda: archive(b"\x80\x02cbuiltins\neval\nX\x03\x00\x00\x001+1\x85R."), "holds eval, which is code"),
    "numpy objects": (lambda: saved(np.array([{"a": 1}], dtype=object)), "numpy array of Python objects"),
    "numpy texts": (lambda: saved(np.array(["a"])), "numpy array of 'U1'"),
    "nested 200,000 deep": (
        lambda: archive(b"\x80\x02" + b"]" * 200_000 + b"a" * 199_999 + b"."), f"deeper than {DEEP}"),
    "a list within itself": (lambda: saved(_within_itself()), "or within itself"),
    "ten billion laughs": (lambda: saved(_laughs()), f"more than {MANY} values"),
    "8 GB of which 16 bytes are there": (lambda: archive(tensor_of(2**31 - 1), b"\0" * 16), "more bytes than it holds"),
    "40 GB by strides of 0": (lambda: saved(torch.ones(1).expand(10**10)), "claims a tensor of 40000000000 bytes"),
    "many views of one tensor": (lambda: saved([torch.ones(100_000)] * 200), "many times more tensors"),
    "complex numbers": (lambda: saved(torch.ones(2, dtype=torch.complex64)), "torch.complex64"),
    "two keys of one text": (lambda: saved({1: 0, "1": 0}), "two keys of the same text"),
    "no torch file": (lambda: b"hello" * 100, "damaged, or no file that torch.save wrote"),
    "nothing": (lambda: b"", "damaged"),
    "half of a file": (lambda: saved(torch.ones(1000))[:2000], "damaged"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused_in_one_line_that_says_what_it_holds(fence, name):
    make, said = HOSTILE[name]
    with pytest.raises(ArtifactError, match=said) as refused:
        fence.read(make(), "evil.pt")
    text = str(refused.value)
    assert text.startswith("evil.pt: ")
    assert "\n" not in text
    assert "weights_only" not in text  # torch would say how to run the file


def test_nothing_in_a_pickle_is_run(fence, tmp_path):
    with pytest.raises(ArtifactError, match=r"(posix|os)\.system, which is code; nothing of it was run"):
        fence.read(saved({"w": _Runs(tmp_path / "ran")}), "evil.pt")
    assert not (tmp_path / "ran").exists()
    torch.load(io.BytesIO(saved({"w": _Runs(tmp_path / "ran")})), weights_only=False)  # the file would have
    assert (tmp_path / "ran").exists()


def test_an_archive_that_swells_is_refused_and_the_child_goes_on(fence):
    began = time.monotonic()
    bomb = archive(tensor_of(1 << 24), bytes(1 << 26), zipfile.ZIP_DEFLATED)
    assert len(bomb) < 100_000
    with pytest.raises(ArtifactError, match="many times more tensors"):
        fence.read(bomb, "bomb.pt")
    assert time.monotonic() - began < 5
    assert fence.read(saved([1]), "after.pt") == [1]


def test_plain_values_and_tensors_come_through_whole(fence):
    numbers, turned = np.arange(6, dtype=">i4").reshape(2, 3), torch.arange(6.0).reshape(2, 3).T
    value = {
        "state_dict": collections.OrderedDict(z=turned, a=torch.ones(2, dtype=torch.bfloat16)),
        3: [1, 2.5, None, True, "text", float("nan"), 1 << 70], "args": argparse.Namespace(lr=0.1, depth=20),
        "best": np.float64(93.5), "numpy": np.asfortranarray(numbers), "empty": torch.zeros(0, 4),
        "one": torch.tensor(7),
        "coo": torch.sparse_coo_tensor([[0, 1], [1, 0]], [5.0, 0.0], (2, 2), check_invariants=True),
    }  # fmt: skip
    for legacy in (False, True):
        found = fence.read(saved(value, _use_new_zipfile_serialization=not legacy), "a.pt")
        assert list(found["state_dict"]) == ["z", "a"], "names keep their order"
        np.testing.assert_array_equal(found["state_dict"]["z"].array(), np.arange(6.0).reshape(2, 3).T)
        assert found["state_dict"]["a"] == Tensor("BF16", (2,), b"\x80\x3f" * 2)
        assert found["3"] == [1, 2.5, None, True, "text", None, None]
        assert found["args"] == {"lr": 0.1, "depth": 20}
        assert found["best"] == 93.5
        np.testing.assert_array_equal(found["numpy"].array(), numbers)
        assert (found["empty"].shape, found["one"].array().item()) == ((0, 4), 7)
        assert isinstance(found["coo"], Sparse)
        assert found["coo"].indices.tolist() == [[0, 1], [1, 0]]
        assert found["coo"].values.tolist() == [5.0, 0.0]


@pytest.mark.skipif(
    not Path("/proc/self/limits").exists(), reason="the system does not show a process's limits"
)
def test_the_child_knows_no_token_writes_no_file_and_is_held_to_its_limits(fence):
    fence.read(saved(1), "a.pt")
    process = Path(f"/proc/{fence.child.pid}")
    environment = (process / "environ").read_bytes()
    assert CANARY.encode() not in environment
    assert b"HOME=" not in environment
    assert CANARY.encode() not in (process / "cmdline").read_bytes()
    limits = {
        line[:26].strip(): line[26:].split()[0] for line in (process / "limits").read_text().splitlines()
    }
    assert (limits["Max file size"], limits["Max processes"]) == ("0", "0")
    assert int(limits["Max cpu time"]) <= 90
    assert int(limits["Max address space"]) < 12 << 30


@pytest.mark.long
def test_the_child_starts_no_process_of_its_own():
    """As a user who is not root, whom the system would not hold to it."""
    code = (
        "import os, threading\nfrom ticketctl.fence import child\n"
        "os.getuid() or os.setuid(65534)\nchild._shut()\n"
        "def told(start):\n"
        "    try: start()\n"
        "    except (OSError, RuntimeError) as error: return type(error).__name__\n"
        "print(told(os.fork), told(threading.Thread(target=print).start))\n"
    )
    asked = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert asked.stdout.split() == ["BlockingIOError", "RuntimeError"]


@pytest.mark.parametrize(
    "code",
    ["import time; time.sleep(60)", "", "import os; os.abort()",
     "import sys; sys.stdin.buffer.read(8); print('?' * 99)",
     "import sys; sys.stdout.buffer.write(b'F' + b'\\xff' * 16)"],
)  # fmt: skip
def test_a_child_that_hangs_dies_or_babbles_costs_one_line(monkeypatch, code):
    monkeypatch.setattr(reader, "_BEGIN", code)
    monkeypatch.setattr(reader, "SECONDS", 0.2)
    began = time.monotonic()
    with Fence() as held, pytest.raises(ArtifactError, match=r"a\.pt: reading it took"):
        held.read(b"x" * (1 << 20), "a.pt")
    assert time.monotonic() - began < 5
    assert held.child is None


@pytest.mark.parametrize(
    "form", ['{"tensor": "9"}', '{"sparse": 1}', '{"sparse": {}}', '{"": [{"tensor": []}]}']
)
def test_an_answer_that_makes_no_sense_is_no_traceback(monkeypatch, form):
    parts = [form.encode(), pack_tensors({})]
    answer = b"F" + b"".join(len(part).to_bytes(8, "little") + part for part in parts)
    monkeypatch.setattr(
        reader, "_BEGIN", f"import sys; sys.stdin.buffer.read(9); sys.stdout.buffer.write({answer!r})"
    )
    with (
        Fence() as held,
        pytest.raises(ArtifactError, match=r"a\.pt: the answer of its reader makes no sense"),
    ):
        held.read(b"x", "a.pt")


def test_an_answer_of_more_than_a_file_can_hold_is_not_waited_for(monkeypatch):
    code = "import sys; sys.stdin.buffer.read(9); sys.stdout.buffer.write(b'F' + (1 << 33).to_bytes(8, 'little')); "
    monkeypatch.setattr(reader, "_BEGIN", code + "sys.stdout.flush(); sys.stdin.read()")
    began = time.monotonic()
    with Fence() as held, pytest.raises(ArtifactError, match=r"a\.pt: reading it took"):
        held.read(b"x", "a.pt")
    assert time.monotonic() - began < 5


@pytest.mark.long
def test_no_child_is_started_for_nothing():
    with Fence() as held:
        assert held.child is None
