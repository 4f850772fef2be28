"""chain.json beside an artifact (formats/chain/v1/spec.md): how it came to be, each step sealed by the ones before it.

A link says what was made (id and digest of its manifest), by which step, and from which links. Its id is the digest
of all that, so that a hand which changes a step breaks every step behind it. Links hold no clocks, hosts or paths:
equal histories give equal bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from ticketctl.artifacts.manifest import RunManifest, TicketManifest, recipe_digest, to_record
from ticketctl.artifacts.records import Digest, Part, Text, Version, Word, read_document, record_digest, seal
from ticketctl.artifacts.report import Report
from ticketctl.artifacts.report_models import UNTRAINED
from ticketctl.artifacts.verdict_models import Verdict
from ticketctl.errors import ArtifactError
from ticketctl.store.documents import canonical_json, parse_json
from ticketctl.store.files import read_bytes, write_atomic

CHAIN = "chain.json"
SEAL = "manifest_digest"
MAX_CHAIN = 4 << 20
MAX_LINKS = 5_000

Artifact = TicketManifest | RunManifest | Report | Verdict
Facts = tuple[str, str, str, str, str | None, Sequence[str]]
"""Kind, step, id, digest, recipe digest and parents of an artifact."""


class Made(Part):
    """What a step ended with. `digest` is the seal of its manifest; of a report, the digest of its arrays."""

    kind: Literal["report", "run", "ticket", "verdict"]
    id: Word
    digest: Digest


class Link(Part):
    """One step."""

    id: Digest
    step: Word
    tool: Text
    made: Made
    recipe_digest: Digest | None
    parents: tuple[Word, ...]
    """Ids of artifacts that its manifest names as what it came from."""
    inputs: tuple[Digest, ...]
    """Ids of the links of what it came from, as far as they were at hand."""


class Chain(Part):
    """chain.json. Links stand before those that follow from them, else in the order of their ids."""

    format: Literal["ticketctl.chain"]
    format_version: Version
    features: tuple[Word, ...]
    links: Annotated[tuple[Link, ...], Field(min_length=1, max_length=MAX_LINKS)]
    manifest_digest: Digest

    def of(self, made: str) -> Link | None:
        """The last link that made the artifact of this id."""
        return next((link for link in reversed(self.links) if link.made.id == made), None)


def link_of(made: Artifact, inputs: Iterable[Link] = (), *, tool: str = "ticketctl") -> Link:
    """The link of an artifact that came from what `inputs` made.

    Args:
        made: its manifest; of a report, the report as it was read.
        inputs: links of what it came from.
        tool: program and version.
    """
    return _link(_facts(made), inputs, tool)


def _link(facts: Facts, inputs: Iterable[Link], tool: str) -> Link:
    kind, step, name, digest, recipe, parents = facts
    fields = {
        "step": step,
        "tool": tool,
        "made": {"kind": kind, "id": name, "digest": digest},
        "recipe_digest": recipe,
        "parents": sorted({*parents}),
        "inputs": sorted({link.id for link in inputs}),
    }
    return Link.model_validate({**fields, "id": record_digest("link", fields)}, strict=False)


def _facts(made: Artifact) -> Facts:
    if isinstance(made, TicketManifest):
        parents = [*made.draw.parents, *([made.control.of] if made.control else [])]
        return "ticket", _step(made), made.ticket_id, made.manifest_digest, made.draw.recipe_digest, parents
    if isinstance(made, RunManifest):
        from_ = [made.ticket] if made.ticket != "dense" else []
        return "run", "train", made.run_id, made.manifest_digest, made.recipe_digest, from_
    if isinstance(made, Verdict):
        reports = [one.report for net in made.nets for pair in net.pairs for one in (pair.net, pair.dense)]
        return "verdict", "judge", made.verdict_id, made.manifest_digest, None, reports
    of = made.subject.ticket if made.subject.run_id == UNTRAINED else made.subject.run_id
    return "report", made.kind, made.id, made.digest, recipe_digest(dict(to_record(made.recipe))), [of]


STEPS = ("cut", "import", "intersect", "remap", "union")
"""Of tickets that were not drawn here."""
ALGEBRA = "ticketctl.algebra"
"""Where in `ext` a ticket that was made of others says by which step: a level that was cut out keeps its method."""


def _step(ticket: TicketManifest) -> str:
    said = ticket.ext.get(ALGEBRA)
    step = said.get("step") if isinstance(said, Mapping) else ticket.draw.method
    return str(step) if step in STEPS else "draw"


def chain_bytes(links: Iterable[Link]) -> bytes:
    """chain.json of these links, each once, in their order.

    Raises:
        ArtifactError: E_CHAIN: a link is not what its id says, an input is missing, or there are too many.
    """
    known = {link.id: link for link in links}
    fields = {
        "format": "ticketctl.chain", "format_version": "1.0", "features": [],
        "links": [link.model_dump(mode="json") for link in _ordered(known)],
    }  # fmt: skip
    data = canonical_json(seal(fields, SEAL))
    parse_chain(data, where="the new chain")
    return data


def parse_chain(data: bytes, *, where: str) -> Chain:
    """Judge a chain that nobody vouches for.

    Raises:
        ArtifactError: E_MANIFEST, E_FORMAT, E_VERSION, E_FEATURE; E_CHAIN: a link whose id is not that of what it
            says, an input that is not there before it, links in another order.
    """
    if len(data) > MAX_CHAIN:
        raise ArtifactError("E_MANIFEST", f"{where}: {len(data)} bytes, a chain has {MAX_CHAIN} at most")
    value = parse_json(data, where=where, canonical=True)
    chain = read_document(value, Chain, kind="chain", where=where, sealed=SEAL)
    seen: dict[str, Link] = {}
    for link, record in zip(chain.links, value["links"], strict=True):
        said = record_digest("link", {key: part for key, part in record.items() if key != "id"})
        if link.id != said:
            raise ArtifactError(
                "E_CHAIN", f"{where}: the step that made {link.made.id} was changed after it was written"
            )
        if odd := next((name for name in link.inputs if name not in seen), None):
            raise ArtifactError(
                "E_CHAIN", f"{where}: {link.made.id} comes from {odd}, which is not in the chain"
            )
        seen[link.id] = link
    if list(chain.links) != _ordered(seen):
        raise ArtifactError("E_CHAIN", f"{where}: its links are not in their order, or one stands twice")
    return chain


def read_chain(folder: Path) -> Chain | None:
    """The chain beside an artifact; None if there is none.

    Raises:
        ArtifactError: E_PATH, or as `parse_chain`.
    """
    path = folder / CHAIN
    if not path.exists() and not path.is_symlink():
        return None
    return parse_chain(read_bytes(path, limit=MAX_CHAIN), where=str(path))


Source = tuple[Artifact, Path, "tuple[Artifact, Path] | None"]
"""What something came from, the folder it lies in, and what that came from in turn, if it keeps no chain of its own."""


def chained(folder: Path, made: Artifact, sources: Iterable[Source], *, tool: str) -> None:
    """Write down in `folder` how `made` came to be: its own link, behind all those of what it came from.

    Args:
        folder: where the artifact lies.
        made: the artifact.
        sources: what it came from. A report keeps no chain: its link is made here, behind that of its run.
        tool: program and version.

    Raises:
        ArtifactError: a chain that it follows from is damaged.
        ResourceError: it cannot be written.
    """
    found: dict[str, Link] = {}
    inputs = []
    for source, place, above in sources:
        if above is None:
            inputs.append(_linked(source, place, found))
        else:
            inputs.append(link_of(source, [_linked(*above, found)], tool=tool))
            found[inputs[-1].id] = inputs[-1]
    write_atomic(folder / CHAIN, chain_bytes([*found.values(), link_of(made, inputs, tool=tool)]))


def foretold(runs: Sequence[tuple[RunManifest, Path]], *, tool: str) -> list[Link]:
    """The links that a verdict over these runs will have, but for what their audits will find: as many and as long.

    Args:
        runs: manifests and folders, each once.
        tool: program and version.

    Raises:
        ArtifactError: the chain beside one of them is damaged.
    """
    found: dict[str, Link] = {}
    reports = []
    for run, folder in runs:
        name, above = f"rp1{run.run_id[3:]}", [_linked(run, folder, found)]
        facts = ("report", "audit", name, run.manifest_digest, run.recipe_digest, [run.run_id])
        reports.append(_link(facts, above, tool))
    name, digest = f"vd1{runs[0][0].run_id[3:]}", runs[0][0].manifest_digest
    end = ("verdict", "judge", name, digest, None, [one.made.id for one in reports])
    return [*found.values(), *reports, _link(end, reports, tool)]


def _linked(made: Artifact, folder: Path, found: dict[str, Link]) -> Link:
    """The link of an artifact by the chain beside it, which goes into `found`; of one without a chain, by itself."""
    chain = read_chain(folder)
    known = {link.id: link for link in chain.links} if chain else {}
    bare = link_of(made, tool="unknown")
    link = next((one for one in known.values() if one.made == bare.made), bare)
    found |= _above(link, known)
    return link


def _above(link: Link, known: Mapping[str, Link]) -> dict[str, Link]:
    """The link and all that it follows from."""
    found, open_ = {}, [link]
    while open_:
        one = open_.pop()
        found[one.id] = one
        open_ += [known[name] for name in one.inputs if name not in found]
    return found


def _ordered(links: Mapping[str, Link]) -> list[Link]:
    """Each behind its inputs, by the length of the longest way to it, then by id."""
    inputs = {name: {one for one in link.inputs if one in links} for name, link in links.items()}
    depth: dict[str, int] = {}
    with suppress(CycleError):  # it cannot be made of digests, but it can be claimed; then all are refused
        for name in TopologicalSorter(inputs).static_order():
            depth[name] = 1 + max((depth[one] for one in inputs[name]), default=0)
    return [links[name] for name in sorted(links, key=lambda name: (depth.get(name, 0), name))]
