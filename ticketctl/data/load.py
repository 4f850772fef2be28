"""Open a data set by name: look up its module, take its decoded copy from the cache, or make it.

Of data that lie at a place of the user's own a note is kept of their fingerprint, by what they are known again by
(`sets.Found.identity`): so it can be told without reading them whether they are what they were.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

from ticketctl import plugins
from ticketctl.data._cache import known_fingerprint, note_fingerprint, read_kept, waiting, write_kept
from ticketctl.data._measure import measured
from ticketctl.data.adapted import Form, adapted
from ticketctl.data.sets import DataSet, Found, Source
from ticketctl.errors import (
    ArtifactError,
    OfflineError,
    ResourceError,
    UnavailableError,
    UsageError,
    near_miss,
)
from ticketctl.progress import Reporter, Silent
from ticketctl.store.documents import canonical_json
from ticketctl.store.expand import expanded
from ticketctl.store.files import sha256

_DECODING = 1
"""Counts changes in how sources become arrays, so that no cache outlives the code that made it."""

NOTED = 4 << 20
"""Bytes of images from which on a fingerprint is noted: fewer are read as fast."""


def default_cache() -> Path:
    """The cache folder: `$TICKETCTL_CACHE`, else `$XDG_CACHE_HOME/ticketctl`, else `~/.cache/ticketctl`."""
    own, home = os.environ.get("TICKETCTL_CACHE"), os.environ.get("XDG_CACHE_HOME")
    if own:
        return expanded(own)
    return expanded(home or "~/.cache") / "ticketctl"


def load(
    name: str,
    *,
    cache: Path,
    folder: Path | None = None,
    offline: bool = False,
    reporter: Reporter,
    options: Mapping[str, Any] | None = None,
    form: Form | None = None,
    workers: int = 1,
) -> DataSet:
    """The data set `name`, e.g. `digits`, `cifar10`, `imagefolder:PATH`.

    Args:
        name: a data set's name, with a target after a colon for those that take one.
        cache: where downloads and decoded sets are kept.
        folder: the user's own copy (`--data-dir`), looked into before the network.
        offline: never use the network.
        reporter: told of downloads, waits and repairs.
        options: keys the set's module understands, e.g. `size`.
        form: channels, height and width that its images are brought to; None: as they are.
        workers: threads that decode, where images stay in their files.

    Returns:
        The set; its arrays may be mapped and are read-only.

    Raises:
        UsageError: no such set, target or option, or no way to this form.
        UnavailableError: the data are not here and cannot be fetched, or are not what was published.
        ResourceError: the cache cannot be written.
    """
    base, _, target = name.partition(":")
    place = expanded(folder) if folder else None
    source = Source(cache, reporter, place, offline, target or None, _options(name, options), workers)
    found = plugins.load("data", base).find(base, source)
    data = _loaded(name, found, source)
    if form is not None and data.streamed and form != data.shape:
        raise UsageError(
            f"data.form: {base} is streamed as images of {list(data.shape)}; say data.size instead"
        )
    data = data if form is None else adapted(data, form, cache=cache, reporter=reporter)
    if source.place is not None and (data.streamed or _bytes(data) >= NOTED):
        note_fingerprint(_note(base, found, source, form), data.fingerprint)
    return data


def fingerprint_here(
    name: str,
    *,
    cache: Path,
    folder: Path | None = None,
    options: Mapping[str, Any] | None = None,
    form: Form | None = None,
) -> str | None:
    """The fingerprint of data at a place of the user's own, as they lie there now. Arguments as those of `load`.

    They are read if they were written to since they were read last, or never were, or are few; else a note is. A file
    goes by its name, size and time of change, a folder by those of its files.

    Returns:
        None: they are not here, or cannot be looked at (nor decoded, where the cache cannot be written), or no such
            place is named.

    Raises:
        UsageError: no such set or option.
        UnavailableError: what lies there is no such data set.
    """
    base, _, target = name.partition(":")
    place = expanded(folder) if folder else None
    source = Source(cache, Silent(), place, True, target or None, _options(name, options))
    if source.place is None or not os.access(source.place, os.R_OK):
        return None
    try:
        found = plugins.load("data", base).find(base, source)
    except UnavailableError:
        return None
    if known := known_fingerprint(_note(base, found, source, form)):
        return known
    how: Any = {"cache": cache, "folder": folder, "options": options, "form": form}
    with suppress(OfflineError, ResourceError):
        return load(name, **how, offline=True, reporter=Silent()).fingerprint
    return None


def _options(name: str, options: Mapping[str, Any] | None) -> dict[str, Any]:
    """Those of the set's module, checked."""
    base, colon, target = name.partition(":")
    chosen = _checked(plugins.load("data", base), base, options or {})
    if colon and not target:
        raise UsageError(f"{name!r} ends in its colon; write {base}:PATH")
    return chosen


def _loaded(name: str, found: Found, source: Source) -> DataSet:
    if not found.keep:
        return measured(name, found.read())
    base = name.partition(":")[0]
    key = sha256(canonical_json([_DECODING, base, found.identity, _shaping(base, source)]))[:16]
    return _kept(name, found, source.cache / "data" / f"{base}-{key}.safetensors", source.reporter)


def _bytes(data: DataSet) -> int:
    return data.train.images.nbytes + data.test.images.nbytes


def _shaping(base: str, source: Source) -> dict[str, Any]:
    """Options that say what the images are; those that say how they are read name no copy of their own."""
    how = getattr(plugins.load("data", base), "READING", ())
    return {option: value for option, value in (source.options or {}).items() if option not in how}


def _note(base: str, found: Found, source: Source, form: Form | None) -> Path:
    """Where the fingerprint is noted of what was found at a place."""
    marks = [_DECODING, base, str(source.place), found.identity, _shaping(base, source), form and list(form)]
    return source.cache / "data" / f"fingerprint-{sha256(canonical_json(marks))[:16]}.json"


def form_of(name: str) -> tuple[tuple[int, int, int], int] | None:
    """Channels, height and width of an image and the number of classes, where that is known without the data.

    A data module says it in `FORMS`, by name; None: it does not, for its images are the user's.

    Raises:
        UsageError: no such set.
    """
    base = name.partition(":")[0]
    form: tuple[tuple[int, int, int], int] | None = getattr(plugins.load("data", base), "FORMS", {}).get(base)
    return form


def _checked(module: ModuleType, base: str, options: Mapping[str, Any]) -> dict[str, Any]:
    known = getattr(module, "OPTIONS", ())
    for option in options:
        if option not in known:
            raise UsageError(f"data set {base!r} has no option {option!r}; {near_miss(option, known)}")
    return dict(options)


def _kept(name: str, found: Found, path: Path, reporter: Reporter) -> DataSet:
    """The kept set; under a lock it is made if it is missing, and made again if it is damaged."""
    try:
        return read_kept(path, name)
    except ArtifactError:
        pass
    with waiting(path.parent, reporter):
        try:
            return read_kept(path, name)  # made by the process we waited for
        except ArtifactError as error:
            if error.code != "E_FILE_MISSING":
                reporter.note(f"the decoded copy is damaged and is made again: {error}")
        write_kept(path, measured(name, found.read()))
    return read_kept(path, name)
