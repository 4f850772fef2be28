"""`ticketctl import`, as it is typed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch

from tests.cli.conftest import Answer, ask
from tests.unfenced import unfenced  # noqa: F401  # a fixture for all tests here
from ticketctl.cli.import_ import Names
from ticketctl.fence import reader
from ticketctl.nets.naming import schemes

REAL = reader.Fence.ask
MODEL = ("--model", "lenet-300-100", "--data", "digits")
SHAPES = {"fc1.weight": (300, 64), "fc2.weight": (100, 300), "fc3.weight": (10, 100)}
KEEP = {name: np.arange(int(np.prod(shape))).reshape(shape) % 4 == 1 for name, shape in SHAPES.items()}


class _Runs:
    def __reduce__(self) -> Any:
        return os.system, ("touch ran",)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    torch.save({name: torch.from_numpy(keep).int() for name, keep in KEEP.items()}, tmp_path / "mask.pth")
    return tmp_path


def spoken(answer: Answer) -> str:
    assert answer.code == 0, answer.err
    return answer.out + answer.err


def test_a_mask_is_imported_verified_and_found_again(home):
    words = ("import", "mask.pth", *MODEL, "--init", "seed:1")
    planned = ask(home, *words, "--dry-run", "--json").json["result"]
    assert (planned["dialect"], planned["kept"], planned["start"]) == ("open-lth", [50_200, 12_550], "init")
    assert not (home / "runs").exists()
    answer = ask(home, *words, "--json")
    result = answer.json["result"]
    assert "dialect open-lth: exact" in answer.err
    assert result["folder"].startswith(planned["folder"])
    assert (result["kept"], result["import"]["exact"]) == (12_550, True)
    assert "sound" in spoken(ask(home, "verify"))
    again = ask(home, *words)
    assert "already imported" in again.err
    assert result["ticket_id"] in again.out
    assert "import" in spoken(ask(home, "list"))
    assert "method" in spoken(ask(home, "inspect"))


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("mask.pth", *MODEL), 2, "--init FILE"),
        (("mask.pth", "--model", "lenet-300-100"), 2, "--data"),
        (("none.pth", *MODEL), 2, "no such file or folder"),
        (("mask.pth", *MODEL, "--dialect", "tost"), 3, "not in the dialect"),
        (("mask.pth", *MODEL, "--init", "seed:0", "--names", "torchvison"), 2, "did you mean 'torchvision'"),
        (("evil.pt", *MODEL), 3, "nothing of it was run"),
        (("fifo", *MODEL), 3, "not a regular file"),
        (("n.onnx", *MODEL), 3, "n.onnx: an ONNX model, which is exported and not imported; import reads files of"),
        (("mask.pth", "--model", "resnet20", "--data", "cifar10", "--init", "seed:0"), 3, "mask.pth: not of resnet20"),
    ],
)  # fmt: skip
def test_what_cannot_be_imported_costs_one_line_and_its_code(home, words, code, said):
    torch.save({"w": _Runs()}, home / "evil.pt")
    os.mkfifo(home / "fifo")
    (home / "n.onnx").write_bytes(bytes.fromhex("0808 1209 7469636b657463746c"))  # as onnx begins a model
    answer = ask(home, "import", *words)
    assert answer.code == code, answer.err
    assert said in answer.complaint
    assert not (home / "ran").exists()


def test_a_lossy_import_says_so_even_where_quiet(home):
    state = {name: torch.from_numpy(keep * np.float32(0.1)) for name, keep in KEEP.items()}
    state |= {f"fc{number}.bias": torch.zeros(size) for number, size in ((1, 300), (2, 100), (3, 10))}
    torch.save(state, home / "zeros.pt")
    answer = ask(home, "import", "zeros.pt", *MODEL, "--quiet")
    assert "dialect zeros: LOSSY" in spoken(answer)
    assert "cannot be told from a pruned one" in answer.err


def test_a_mask_is_read_behind_the_real_fence(home):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reader.Fence, "ask", REAL)
        answer = ask(home, "import", "mask.pth", *MODEL, "--init", "seed:2", "--dry-run")
    assert "keeps    12550 of 50200 weights" in spoken(answer)


def test_a_mask_of_another_net_is_refused_by_its_printable_name_and_one_code(home):
    torch.save({"fc1\x1b[31m.weight": torch.ones(3, 3)}, home / "other.pth")
    answer = ask(home, "import", "other.pth", *MODEL, "--init", "seed:1")
    assert answer.code == 3
    assert "fc1\\x1b[31m.weight" in answer.complaint
    assert answer.complaint.count("[E_ARCH_MISMATCH]") == 1


def test_the_help_names_every_way_of_naming() -> None:
    (option,) = get_args(Names)[1:]
    assert [name for name in schemes() if name not in option.help] == []
