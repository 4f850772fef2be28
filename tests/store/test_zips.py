from __future__ import annotations

import io
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticketctl.errors import ArtifactError
from ticketctl.store.zips import MAX_MEMBERS, pack_zip, unpack_zip

NAMES = st.from_regex(r"[a-z]{1,8}(/[a-z]{1,8}){0,2}", fullmatch=True)


@given(st.dictionaries(NAMES, st.binary(max_size=50), max_size=5))
def test_what_is_packed_is_unpacked_and_zipfile_agrees(members: dict[str, bytes]) -> None:
    data = pack_zip(members)
    assert unpack_zip(data, where="") == members
    assert data == pack_zip(dict(reversed(members.items())))
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.namelist() == sorted(members)
        assert archive.testzip() is None


@pytest.mark.long
def test_too_many_members_are_refused() -> None:
    data = pack_zip({f"{number}": b"" for number in range(MAX_MEMBERS + 1)})
    with pytest.raises(ArtifactError, match="more than"):
        unpack_zip(data, where="")


@pytest.mark.parametrize("flag", [0x1, 0x8, 0x800])
def test_encrypted_streamed_and_marked_members_are_refused(flag: int) -> None:
    data = bytearray(pack_zip({"a": b"abc"}))
    data[6] |= flag & 0xFF
    data[7] |= flag >> 8
    central = data.index(b"PK\x01\x02")
    data[central + 8] |= flag & 0xFF
    data[central + 9] |= flag >> 8
    with pytest.raises(ArtifactError) as caught:
        unpack_zip(bytes(data), where="")
    assert caught.value.code == "E_STORE"
