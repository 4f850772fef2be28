"""What a command may write over: what it wrote itself, and nothing else."""

from __future__ import annotations

import io
import json
import os
from functools import partial
from pathlib import Path

import pytest

from tests.stages.written_sweep import plan_in
from ticketctl.errors import UsageError
from ticketctl.stages.collect import BEHIND, Record, csv_text
from ticketctl.stages.collect import write as write_table
from ticketctl.stages.own_files import ROW, check_out, is_plan, is_table
from ticketctl.stages.plan_files import as_bytes

ROWS: list[Record] = [
    {"method": f'imp, "{n}"', "spend": "a,b\\n }", **dict.fromkeys(BEHIND), "value": 0.1} for n in range(3)
]


def of_collect(data: bytes) -> bool:
    return is_table(io.BytesIO(data), BEHIND)


@pytest.mark.parametrize("kind", ["csv", "json"])
def test_a_table_of_collect_is_known_by_its_last_columns(kind: str, tmp_path: Path) -> None:
    write_table(ROWS, tmp_path / "s", kind)
    data = (tmp_path / "s").read_bytes()
    assert of_collect(data)
    assert of_collect(data.replace(b"\n", b"\r\n")), "a spreadsheet's line ends, or git's"
    assert not of_collect(data[: len(data) // 9])


@pytest.mark.parametrize(
    "data",
    [
        b" ", b"\n\n", b"mine", b"[axes]\nmethod = 'imp'\n", b"[\n {", b"[]\n1", b"[[]]", b"[\n {\n }\n]",
        b"[\n {\n  \"command\": 1\n }\n]", b"command\n",
        ",".join(BEHIND).encode(), ("x" + ",".join(BEHIND)).encode(), b"\x00" * 99,
        b"[\n {" * 4000,
    ],
)  # fmt: skip
def test_anything_else_is_not(data: bytes) -> None:
    assert not of_collect(data)
    assert not is_plan(io.BytesIO(data))


@pytest.mark.parametrize("kind", ["csv", "json"])
def test_a_table_without_rows_is_a_table(kind: str, tmp_path: Path) -> None:
    write_table([], tmp_path / "s", kind)  # as `--metric all` is before any run is done
    assert of_collect((tmp_path / "s").read_bytes())


def test_a_table_with_a_column_more_is_somebody_s_work(tmp_path: Path) -> None:
    assert not of_collect(csv_text([{**row, "mine": 1} for row in ROWS]).encode())
    assert not of_collect((json.dumps([{**row, "mine": 1} for row in ROWS], indent=1) + "\n").encode())


def test_a_plan_is_known_by_its_first_line(tmp_path: Path) -> None:
    data = as_bytes(plan_in(tmp_path, seeds=1))
    assert is_plan(io.BytesIO(data))
    assert not of_collect(data)
    assert not is_plan(io.BytesIO(data.partition(b"\n")[2]))
    assert not is_plan(io.BytesIO(b'{"kind":"ticketctl.run"}\n'))
    assert not is_plan(io.BytesIO(b'["kind"]\n'))


def test_of_a_huge_file_the_beginning_alone_is_read() -> None:
    file = io.BytesIO(b"[\n {" + b"x" * 3 * ROW)
    assert not is_table(file, BEHIND)
    assert file.tell() == ROW


@pytest.mark.parametrize(
    ("what", "said"), [("folder", "this is a folder"), ("link", "this is a link"), ("pipe", "this is no plain file")]
)  # fmt: skip
def test_what_is_no_file_is_named_and_left_alone(tmp_path: Path, what: str, said: str) -> None:
    out = tmp_path / "out"
    if what == "folder":
        out.mkdir()
    elif what == "link":
        out.symlink_to(tmp_path / "nowhere")
    else:
        os.mkfifo(out)
    with pytest.raises(UsageError) as caught:
        check_out(out, "sweep.csv", "collect", partial(is_table, columns=BEHIND))
    assert str(caught.value) == f"--out {out}: {said}; name a file, such as sweep.csv"


def test_an_empty_file_may_be_written_over(tmp_path: Path) -> None:
    (tmp_path / "out").touch()  # as mktemp leaves it
    check_out(tmp_path / "out", "plan.jsonl", "plan", is_plan)


def test_what_is_not_there_may_be_written(tmp_path: Path) -> None:
    check_out(tmp_path / "new" / "sweep.csv", "sweep.csv", "collect", is_plan)
