"""Samples: what a net said comes back bit for bit, and what no reader takes is not written."""

from __future__ import annotations

import hashlib
import json
import struct
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tests.artifacts.hostile_samples import DATA, corrupted, elsewhere, opened, plain
from ticketctl.artifacts.samples import Samples, decode_samples, encode_samples
from ticketctl.store.documents import canonical_json

SETS = st.from_regex(r"[a-z0-9][a-z0-9.-]{0,79}", fullmatch=True)
WORDS = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=9)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-99, 99) | WORDS, lambda each: st.lists(each), max_leaves=4
)


@st.composite
def answers(draw: st.DrawFn) -> Samples:
    count, classes = draw(st.integers(1, 9)), draw(st.integers(2, 5))
    logits = draw(hnp.arrays("<f4", (count, classes)))
    labels = draw(hnp.arrays("<i8", count, elements=st.integers(-1, classes - 1)))
    places = st.lists(st.integers(0, (1 << 62)), min_size=count, max_size=count, unique=True)
    index = draw(st.none() | places.map(lambda found: np.array(found, "i8")))
    protocol = draw(st.dictionaries(WORDS, JSON, max_size=3))
    return Samples(draw(SETS), "sha256:" + "7" * 64, DATA, logits, labels, index, protocol)


@given(answers())
def test_what_is_encoded_is_decoded(samples: Samples) -> None:
    data = encode_samples(samples)
    again = decode_samples(data, where="")
    np.testing.assert_array_equal(again.logits, samples.logits)
    np.testing.assert_array_equal(again.labels, samples.labels)
    np.testing.assert_array_equal(again.places(), samples.places())
    assert (again.set, again.subject, again.data) == (samples.set, samples.subject, samples.data)
    assert again.protocol == samples.protocol
    assert encode_samples(again) == data


def test_bits_come_back_but_for_nan_which_is_one() -> None:
    logits = np.array([[-0.0, np.inf], [-np.inf, np.nan], [1e-45, 0.0]], "f4")
    odd = logits.copy()
    odd.view("u4")[1, 1] = 0xFFC12345
    labels = np.array([0, 1, -1], "i8")
    data = encode_samples(replace(plain(), logits=odd, labels=labels))
    assert data == encode_samples(replace(plain(), logits=logits, labels=labels))
    assert decode_samples(data, where="").logits.tobytes() == logits.tobytes()
    assert odd.view("u4")[1, 1] == 0xFFC12345


def test_any_memory_order_is_the_same_file() -> None:
    samples = plain()
    turned = replace(samples, logits=np.asfortranarray(samples.logits), labels=samples.labels.repeat(2)[::2])
    assert encode_samples(turned) == encode_samples(samples)


def test_an_index_that_counts_up_is_no_index() -> None:
    counted = replace(plain(), index=np.arange(7, dtype="i8"))
    assert encode_samples(counted) == encode_samples(plain())
    again = decode_samples(encode_samples(counted), where="")
    assert again.index is None
    assert again.places().tolist() == list(range(7))


def test_numbers_that_are_not_whole_become_decimal_strings() -> None:
    assert decode_samples(encode_samples(corrupted()), where="").protocol["scale"] == "0.1"


def test_the_library_of_safetensors_reads_the_file() -> None:
    samples = elsewhere()
    found = safetensors.numpy.load(encode_samples(samples))
    assert found.keys() == {"logits", "labels", "index"}
    np.testing.assert_array_equal(found["logits"], samples.logits)
    np.testing.assert_array_equal(found["index"], samples.places())


def test_digest_is_the_formula_of_the_spec() -> None:
    samples = plain()
    _, header = opened(encode_samples(samples))
    said = header.pop("digest")
    text = (
        b"ticketctl.samples.v1\0" + json.dumps(header, sort_keys=True, separators=(",", ":")).encode() + b"\0"
    )
    text += (
        struct.pack("<I", 6) + b"labels" + b"\x03I64" + struct.pack("<B1Q", 1, 7) + samples.labels.tobytes()
    )
    text += (
        struct.pack("<I", 6)
        + b"logits"
        + b"\x03F32"
        + struct.pack("<B2Q", 2, 7, 4)
        + samples.logits.tobytes()
    )
    assert said == "sha256:" + hashlib.sha256(text).hexdigest()
    assert decode_samples(encode_samples(samples), where="").digest == said


def test_the_digest_tells_sets_nets_protocols_and_labels_apart() -> None:
    samples = plain()
    several = [
        samples,
        replace(samples, set="val"),
        replace(samples, subject="sha256:" + "8" * 64),
        replace(samples, protocol={**samples.protocol, "normalisation": "batch"}),
        replace(samples, labels=np.roll(samples.labels, 1)),
        replace(samples, index=np.arange(7, dtype="i8")[::-1].copy()),
    ]
    digests = {decode_samples(encode_samples(each), where="").digest for each in several}
    assert len(digests) == len(several)


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"logits": np.zeros((7, 4))}, "logits is not float32"),
        ({"logits": np.zeros((7, 4), ">f4")}, "logits is not float32"),
        ({"logits": np.zeros((7, 1), "f4")}, "two classes or more"),
        ({"logits": np.zeros((6, 4), "f4")}, "one number for each of 6 images"),
        ({"logits": np.zeros((0, 4), "f4"), "labels": np.zeros(0, "i8")}, "an image or more"),
        ({"labels": np.zeros(7, "i4")}, "labels is not int64"),
        ({"labels": np.full(7, 4)}, "neither one of 4 classes nor -1"),
        ({"labels": np.full(7, -2)}, "neither one of 4 classes nor -1"),
        ({"index": np.zeros(7, "i8")}, "stands twice"),
        ({"index": np.arange(7) - 1}, "below 0"),
        ({"index": np.arange(7.0)}, "index is not int64"),
        ({"set": "ood/svhn"}, "set: String should match"),
        ({"set": "test\n"}, "control characters|set: String should match"),
        ({"subject": "rn1"}, "subject: String should match"),
        ({"protocol": {"a": "\x1b"}}, "control characters"),
        ({"protocol": {"a": 1 << 53}}, "beyond 2"),
    ],
)
def test_what_no_reader_takes_is_not_written(fields: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        encode_samples(replace(elsewhere(), **fields))


def test_what_is_read_cannot_be_written_to() -> None:
    found = decode_samples(encode_samples(plain()), where="")
    with pytest.raises(ValueError, match="read-only"):
        found.logits[0, 0] = 1


def test_the_header_is_a_record() -> None:
    _, header = opened(encode_samples(corrupted()))
    assert canonical_json(header).decode().count(".") == len(
        ["1.0", "0.1", "ticketctl.samples", "samples.logits"]
    )
