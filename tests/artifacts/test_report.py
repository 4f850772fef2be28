"""Reports: values, errors, words and arrays come back; what contradicts itself is not written."""

from __future__ import annotations

import base64
import hashlib
import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tests.artifacts.hostile_stores import members_of
from tests.artifacts.reports import ROWS, audit, empty, shapes, small
from tests.artifacts.test_arrays import opened
from ticketctl.artifacts.report import MetricRow, Report, decode_report, encode_report, report_id
from ticketctl.artifacts.run import ReportFile
from ticketctl.store.files import MEMBER

NAMES = st.from_regex(r"[A-Za-z0-9_./@:+-]{1,100}", fullmatch=True)
MODULES = st.sampled_from(["accuracy", "ece", "input-hessian", "mine:metric"])
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
ARRAYS = st.sampled_from(["<f8", "<f4", "<i8", "u1"]).flatmap(
    lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
)


@st.composite
def rows(draw: st.DrawFn) -> MetricRow:
    name, metric = draw(NAMES), draw(MODULES)
    better = draw(st.sampled_from(["higher", "lower", "none"]))
    protocol = draw(st.dictionaries(st.sampled_from("abc"), st.integers(0, 9) | st.booleans()))
    count = draw(st.integers(0, 99))
    if draw(st.booleans()):
        error = draw(st.none() | NUMBERS.map(abs))
        return MetricRow(name, metric, better, draw(NUMBERS), error, count, protocol=protocol)
    return MetricRow(
        name, metric, better, None, None, count, draw(st.sampled_from(["nan", "absent"])), "so", protocol
    )


@st.composite
def reports(draw: st.DrawFn) -> Report:
    found = draw(st.lists(rows(), max_size=4, unique_by=lambda row: row.name))
    modules = sorted({row.metric for row in found})
    arrays: dict[str, Any] = {}
    if modules:
        names = st.tuples(
            st.sampled_from(modules), st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.:+-]{0,9}", fullmatch=True)
        )
        arrays = draw(st.dictionaries(names.map("/".join), ARRAYS, max_size=3))
    kind = draw(st.sampled_from(["audit", "interpolate", "probe", "transfer"]))
    return replace(audit(), kind=kind, metrics=found, arrays=arrays)


def same(first: Report, second: Report) -> bool:
    """Whether they say the same; metrics may stand in any order."""
    words = all(
        getattr(first, name) == getattr(second, name)
        for name in ("kind", "subject", "data", "seeds", "env", "sources")
    )
    alike = sorted(first.metrics, key=lambda row: row.name) == sorted(
        second.metrics, key=lambda row: row.name
    )
    return words and alike and first.arrays.keys() == second.arrays.keys() and all(
        array.dtype == second.arrays[name].dtype and np.array_equal(array, second.arrays[name], equal_nan=True)
        for name, array in first.arrays.items()
    )  # fmt: skip


@pytest.mark.long
@given(reports())
def test_what_is_encoded_is_decoded(report: Report) -> None:
    data = encode_report(report)
    again = decode_report(data, where="")
    assert same(again, report)
    assert encode_report(again) == data
    assert again.id == report_id(report) == report_id(again)


@pytest.mark.parametrize("make", [empty, shapes, small])
def test_the_odd_ones_come_back(make: Any) -> None:
    data = encode_report(make())
    again = decode_report(data, where="")
    assert again.arrays.keys() == make().arrays.keys()
    assert encode_report(again) == data


def test_zarr_reads_what_we_write() -> None:
    report = shapes()
    group = opened(encode_report(report))
    assert group.attrs["report_id"] == report_id(report)
    np.testing.assert_array_equal(group["value"][...], [0.90625, 0.1, math.nan, math.nan])
    for name, array in report.arrays.items():
        found = group[f"array/{name}"]
        np.testing.assert_array_equal(found[...], array)
        assert found.dtype == array.dtype


def test_order_of_metrics_arrays_and_sources_does_not_matter() -> None:
    report = audit()
    turned = replace(
        report,
        metrics=report.metrics[::-1],
        arrays=dict(reversed(report.arrays.items())),
        sources=dict(reversed(report.sources.items())),
    )
    assert encode_report(turned) == encode_report(report)
    assert [row.name for row in decode_report(encode_report(turned), where="").metrics] == [
        "accuracy", "ece", "mce", "nll",
    ]  # fmt: skip


def test_nan_is_one_and_what_was_given_stays() -> None:
    odd = np.array([1.0, np.nan], "f4")
    odd.view("u4")[1] = 0xFFC12345
    plain = replace(audit(), arrays={"ece/bins": np.array([1.0, np.nan], "f4")})
    assert encode_report(replace(plain, arrays={"ece/bins": odd})) == encode_report(plain)
    assert odd.view("u4")[1] == 0xFFC12345


def test_id_is_the_formula_of_the_spec() -> None:
    root = json.loads(members_of(encode_report(audit()))["zarr.json"])["attributes"]
    said = root.pop("report_id")
    del root["attributes_digest"]
    text = json.dumps(root, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    raw = hashlib.sha256(b"ticketctl.report.v1\0" + text).digest()
    assert said == "rp1" + base64.b32encode(raw).decode().lower()[:29] == report_id(audit())


def test_the_id_tells_every_part_apart() -> None:
    report = audit()
    accuracy = report.metrics[0]
    several = [
        report,
        replace(report, kind="transfer"),
        replace(report, subject=report.subject.model_copy(update={"level": 2})),
        replace(report, seeds={"root": 1}),
        replace(report, env={}),
        replace(report, recipe={}),
        replace(report, sources={}),
        replace(report, arrays={}),
        replace(report, metrics=[replace(accuracy, value=0.5), *ROWS[1:]]),
        replace(report, metrics=[replace(accuracy, error=None), *ROWS[1:]]),
        replace(report, metrics=[replace(accuracy, n=1), *ROWS[1:]]),
        replace(report, metrics=[replace(accuracy, protocol={"a": 1}), *ROWS[1:]]),
    ]
    assert len({report_id(each) for each in several}) == len(several)


def test_its_file_is_named_after_kind_and_id_as_a_run_lists_it() -> None:
    report = audit()
    name = f"reports/audit-{report_id(report)}.zarr.zip"
    again = decode_report(encode_report(report), where="")
    assert report.file_name == again.file_name == name
    assert MEMBER.fullmatch(name)
    listed = ReportFile(f"{again.kind}-{again.id}", again.kind, again.digest, b"")
    assert f"reports/{listed.name}.zarr.zip" == name


def test_numbers_that_are_not_whole_become_decimal_strings() -> None:
    again = decode_report(encode_report(audit()), where="")
    assert again.recipe["skip"] == "0.1"
    assert again.metrics[1].protocol == {"bins": 15, "norm": "1.5", "ties": "first"}


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"value": None}, "accuracy: done, and its value is nan"),
        ({"value": math.nan}, "accuracy: done, and its value is nan"),
        ({"value": math.inf}, "accuracy: done, and its value is inf"),
        ({"error": -0.5}, "accuracy: done, and its error is -0.5"),
        ({"error": math.inf}, "accuracy: done, and its error is inf"),
        ({"status": "nan", "reason": "so"}, "accuracy: nan, and its value is 0.9"),
        ({"status": "absent", "reason": "so", "value": None}, "accuracy: absent, and its error is 0.0"),
        ({"status": "absent", "value": None, "error": None}, "accuracy: absent, and its reason is ''"),
        ({"reason": "so"}, "accuracy: done, and its reason is 'so'"),
        ({"name": "ece"}, "metrics are not sorted, or one stands twice"),
        ({"name": "a b"}, "metrics.0.name: String should match"),
        ({"metric": "else"}, "'array/accuracy/right' is not named after a metric"),
        ({"better": "smaller"}, "metrics.0.better"),
        ({"status": "skipped"}, "metrics.0.status"),
        ({"n": -1}, "metrics.0.n"),
    ],
)
def test_a_row_that_no_reader_takes_is_not_written(fields: dict[str, Any], fault: str) -> None:
    first, *others = audit().metrics
    with pytest.raises(ValueError, match=fault):
        encode_report(replace(audit(), metrics=[replace(first, **fields), *others]))


@pytest.mark.parametrize(
    ("arrays", "fault"),
    [
        ({"lime/x": np.zeros(1)}, "is not named after a metric"),
        ({"ece": np.zeros(1)}, "is not named after a metric"),
        ({"ece/a/b": np.zeros(1)}, "is not named after a metric"),
        ({"ece/zarr.json": np.zeros(1)}, "is not named after a metric"),
        ({"ece/": np.zeros(1)}, "is not named after a metric"),
        ({"ece/a": np.zeros(1, "i4")}, "array/ece/a: int32; arrays of a report are float64"),
        ({"ece/a": np.zeros(1, "?")}, "array/ece/a: bool; arrays of a report are float64"),
        ({"ece/a": np.zeros(1, ">f8")}, "array/ece/a: >f8; arrays of a report are float64"),
        ({"ece/a": np.zeros((1,) * 9)}, "more than 8 dimensions"),
        ({"ece/a": np.zeros((1, 17 << 20), "u1")}, "more than a chunk holds"),
    ],
)
def test_an_array_that_no_reader_takes_is_not_written(arrays: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        encode_report(replace(audit(), arrays=arrays))


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"kind": "spend"}, "kind: Input should be"),
        ({"sources": {"Test": "sha256:" + "0" * 64}}, "sources.0.set: String should match"),
        ({"sources": {"test": "0"}}, "sources.0.digest: String should match"),
        ({"env": {"device": "\x1b"}}, "control characters"),
        ({"seeds": {"root": 0.5}}, "whole"),
        ({"recipe": {"a": 1 << 53}}, "beyond 2"),
    ],
)
def test_words_that_no_reader_takes_are_not_written(fields: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        encode_report(replace(audit(), **fields))
