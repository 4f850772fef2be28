"""Open a data set by name: look up its module, take its decoded copy from the cache, or make it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from ticketctl import plugins
from ticketctl.data._cache import read_kept, waiting, write_kept
from ticketctl.data._measure import measured
from ticketctl.data.adapted import Form, adapted
from ticketctl.data.sets import DataSet, Found, Source
from ticketctl.errors import ArtifactError, UsageError, near_miss
from ticketctl.progress import Reporter
from ticketctl.store.documents import canonical_json
from ticketctl.store.files import sha256

_DECODING = 1
"""Counts changes in how sources become arrays, so that no cache outlives the code that made it."""


def default_cache() -> Path:
    """The cache folder: `$TICKETCTL_CACHE`, else `$XDG_CACHE_HOME/ticketctl`, else `~/.cache/ticketctl`."""
    own, home = os.environ.get("TICKETCTL_CACHE"), os.environ.get("XDG_CACHE_HOME")
    if own:
        return Path(own).expanduser()
    return (Path(home) if home else Path.home() / ".cache") / "ticketctl"


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
    base, colon, target = name.partition(":")
    module = plugins.load("data", base)
    chosen = _checked(module, base, options or {})
    if colon and not target:
        raise UsageError(f"{name!r} ends in its colon; write {base}:PATH")
    place = folder.expanduser() if folder else None
    source = Source(cache, reporter, place, offline, target if colon else None, chosen, workers)
    found = _loaded(name, module.find(base, source), source)
    if form is not None and found.streamed and form != found.shape:
        raise UsageError(
            f"data.form: {base} is streamed as images of {list(found.shape)}; say data.size instead"
        )
    return found if form is None else adapted(found, form, cache=cache, reporter=reporter)


def _loaded(name: str, found: Found, source: Source) -> DataSet:
    """`source.options` that say how a set is read, and not what its images are, name no copy of their own."""
    if not found.keep:
        return measured(name, found.read())
    base = name.partition(":")[0]
    how = getattr(plugins.load("data", base), "READING", ())
    chosen = {option: value for option, value in (source.options or {}).items() if option not in how}
    key = sha256(canonical_json([_DECODING, base, found.identity, chosen]))[:16]
    return _kept(name, found, source.cache / "data" / f"{base}-{key}.safetensors", source.reporter)


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
