from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ticketctl.errors import ArtifactError
from ticketctl.store.documents import MAX_DEPTH, _depth, canonical_json, parse_json

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(VALUES)
def test_canonical_json_is_read_back(value: object) -> None:
    assume(_depth(value) <= MAX_DEPTH)
    try:
        data = canonical_json(value)
    except UnicodeEncodeError:  # half a surrogate pair has no UTF-8
        return
    assert parse_json(data, where="", canonical=True) == value


def test_key_order_and_spaces_do_not_matter_to_the_form() -> None:
    assert canonical_json({"b": [1, 2], "a": "é\n"}) == '{"a":"é\\n","b":[1,2]}'.encode()


@pytest.mark.parametrize(
    "text",
    ["", "{", "nan", "NaN", "[Infinity]", '{"a":1,"a":2}', '{"a":{"b":1,"b":2}}', "\ufeff{}", "1e999", '"\\ud800"',
     "[" * 17 + "]" * 17, "[" * 100_000, '{"a":' * 100_000, "1" * 10_000, "{} {}"],
)  # fmt: skip
def test_unsound_json_is_refused(text: str) -> None:
    with pytest.raises(ArtifactError) as caught:
        parse_json(text.encode("utf-8", "surrogatepass"), where="x.json")
    assert str(caught.value).startswith("x.json: ")


@pytest.mark.parametrize("text", ['{"a": 1}', '{"b":1,"a":2}', '"\\u00e9"', "[1]\n", "1.50", "1E2"])
def test_other_forms_are_refused_where_the_canonical_one_belongs(text: str) -> None:
    parse_json(text.encode(), where="")
    with pytest.raises(ArtifactError, match="canonical"):
        parse_json(text.encode(), where="", canonical=True)


@pytest.mark.parametrize("text", [b"[" + b"0," * 300_000 + b"0]", b'"' + b"a" * (4 << 20) + b'"'])
def test_documents_of_too_many_values_or_bytes_are_refused_unread(text: bytes) -> None:
    with pytest.raises(ArtifactError, match="far too many values"):
        parse_json(text, where="")


def test_invalid_utf8_is_refused() -> None:
    with pytest.raises(ArtifactError):
        parse_json(b'"\xff"', where="")
