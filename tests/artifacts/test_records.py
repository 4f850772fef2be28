from __future__ import annotations

import base64
import hashlib
from fractions import Fraction
from typing import Any, Literal

import numpy as np
import pytest

from ticketctl.artifacts.records import (
    FormatWarning,
    Part,
    Version,
    check_record,
    numbers,
    read_document,
    record_digest,
    seal,
    short_id,
    to_record,
)
from ticketctl.errors import ArtifactError


class Inner(Part):
    size: int


class Toy(Part):
    format: Literal["ticketctl.toy"]
    format_version: Version
    features: tuple[str, ...] = ()
    inner: Inner | None = None
    list: tuple[Inner, ...] = ()


SOUND = {"format": "ticketctl.toy", "format_version": "1.0"}


def read(**fields: Any) -> Toy:
    return read_document({**SOUND, **fields}, Toy, kind="toy", where="toy.json", features=["known"])


def code_of(**fields: Any) -> str:
    with pytest.raises(ArtifactError, match=r"^toy\.json: ") as caught:
        read(**fields)
    return caught.value.code


def test_floats_and_fractions_become_strings() -> None:
    value = {"a": (0.1, Fraction(4, 5)), "b": {"c": [1, True, None, "x"]}, "d": float("nan")}
    assert to_record(value) == {"a": ["0.1", "4/5"], "b": {"c": [1, True, None, "x"]}, "d": "nan"}
    assert to_record([np.float64(0.5), np.int64(3), np.bool_(True)]) == ["0.5", 3, True]
    assert numbers({"acc": 0.5, "n": 3, "rate": Fraction(1, 3)}) == {"acc": "0.5", "n": "3", "rate": "1/3"}


@pytest.mark.parametrize("value", [{1: 2}, {"a": {None: 1}}, object(), b"x", {1, 2}])
def test_what_json_has_no_form_for_is_refused(value: Any) -> None:
    with pytest.raises(TypeError):
        to_record(value)


def test_numbers_that_some_readers_round_are_refused() -> None:
    assert to_record((1 << 53) - 1) == (1 << 53) - 1
    with pytest.raises(ValueError, match="2\\^53"):
        to_record(1 << 53)


def test_digests_and_ids_are_the_formulas_of_the_spec() -> None:
    raw = hashlib.sha256(b'ticketctl.toy.v1\0{"a":1,"b":[]}').digest()
    assert record_digest("toy", {"b": [], "a": 1}) == "sha256:" + raw.hex()
    assert short_id("tk1", "toy", {"b": [], "a": 1}) == "tk1" + base64.b32encode(raw).decode().lower()[:29]
    assert seal({"a": 1, "b": []}, "toy")["toy"] == "sha256:" + raw.hex()
    assert seal({"a": 1, "b": [], "toy": "old"}, "toy") == seal({"b": [], "a": 1}, "toy")


def test_versions() -> None:
    assert read().format_version == "1.0"
    assert code_of(format="ticketctl.mask") == "E_FORMAT"
    assert code_of(format_version="2.0") == "E_VERSION"
    assert code_of(format_version="0.1") == "E_VERSION"
    assert code_of(format_version="1") == "E_MANIFEST"
    assert code_of(format_version=1.0) == "E_MANIFEST"
    assert code_of(features=["known", "quantum"]) == "E_FEATURE"
    assert read(features=["known"]).features == ("known",)


def test_the_message_of_a_newer_major_names_both() -> None:
    with pytest.raises(ArtifactError, match=r"version 2\.3; this ticketctl reads 1\.x"):
        read(format_version="2.3")


def test_unknown_keys_are_refused_in_1_0_and_ignored_in_a_newer_minor() -> None:
    new: dict[str, Any] = {
        "x": 1,
        "inner": {"size": 2, "y": {}},
        "list": [{"size": 1}, {"size": 2, "z": None}],
    }
    assert code_of(**new) == "E_MANIFEST"
    with pytest.warns(FormatWarning, match=r"1\.4 is newer"):
        found = read(format_version="1.4", **new)
    assert found == Toy(
        **{**SOUND, "format_version": "1.4"}, inner=Inner(size=2), list=(Inner(size=1), Inner(size=2))
    )
    assert code_of(format_version="1.4", inner={"size": "2"}) == "E_MANIFEST"
    assert code_of(format_version="1.4", features=["quantum"]) == "E_FEATURE"


@pytest.mark.parametrize("value", [0.5, "\x1b[31m", "a\u202eb", 1 << 53, [[{"a": "\x00"}]], {"\x07": 1}])
def test_records_hold_no_floats_and_no_tricks(value: Any) -> None:
    with pytest.raises(ArtifactError) as caught:
        check_record(value, where="x")
    assert str(caught.value).isprintable()


def test_records_hold_lines_and_any_letters() -> None:
    check_record({"citation": "@article{é,\n\ttitle={漢字}}"}, where="x")
