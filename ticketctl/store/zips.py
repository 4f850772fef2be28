"""Zip archives in one canonical form: stored, sorted, dated 1980, mode 0644. Any other bytes are refused."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping

from ticketctl.errors import ArtifactError

MAX_MEMBERS = 50_000


def pack_zip(members: Mapping[str, bytes]) -> bytes:
    """The one archive that holds `members` (name to content)."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(members):
            info = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            info.create_system = 3
            info.external_attr = 0o100644 << 16
            archive.writestr(info, members[name])
    return buffer.getvalue()


def unpack_zip(data: bytes, *, where: str) -> dict[str, bytes]:
    """The members of an archive that nobody vouches for.

    The archive is packed again from what was read, and must come out the same: duplicate, compressed, absolute,
    hidden or trailing content cannot pass.

    Raises:
        ArtifactError: E_STORE for whatever `pack_zip` would not have written.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            infos = archive.infolist()
            if len(infos) > MAX_MEMBERS:
                raise ArtifactError("E_STORE", f"{where}: more than {MAX_MEMBERS} members")
            for info in infos:  # before a byte is unpacked: stored means that no member can outgrow the file
                if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
                    raise ArtifactError(
                        "E_STORE", f"{where}: a compressed member; members are stored as they are"
                    )
            if sum(info.file_size for info in infos) > len(data):
                raise ArtifactError("E_STORE", f"{where}: its members overlap")
            members = {info.filename: archive.read(info) for info in infos}
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError, EOFError, RuntimeError) as error:
        raise ArtifactError("E_STORE", f"{where}: not a sound zip archive: {error}") from None
    if pack_zip(members) != data:
        raise ArtifactError("E_STORE", f"{where}: not a canonical archive (stored, sorted, no name twice)")
    return members
