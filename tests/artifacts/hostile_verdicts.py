"""Verdicts that are not what their reports give, or no verdicts: each with the code that refuses it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.artifacts import verdicts
from tests.artifacts.hostile_folders import Case
from ticketctl.artifacts import verdict as kind
from ticketctl.artifacts.records import seal
from ticketctl.artifacts.report import encode_report
from ticketctl.stages.verdict_inputs import Net
from ticketctl.stages.verdict_values import STANDARD
from ticketctl.store.documents import canonical_json

Change = Callable[[dict[str, Any]], Any]


def sound(folder: Path, nets: Sequence[Net] | None = None) -> None:
    """A verdict in `folder` itself, by default that which hostile ones are made from."""
    made = verdicts.written(folder.parent / f".{folder.name}", nets or verdicts.small())
    shutil.copytree(made, folder)
    shutil.rmtree(made.parent)


def rewrite(folder: Path, change: Change, *, ids: bool = True, sealed: bool = True) -> None:
    """Change the document, and cover the change by its id and its seal."""
    fields = json.loads((folder / kind.MANIFEST).read_bytes())
    change(fields)
    rewrite_with(folder, fields, ids=ids, sealed=sealed)


def rewrite_with(folder: Path, fields: dict[str, Any], *, ids: bool = True, sealed: bool = True) -> None:
    """Another document in the place of the one that is there."""
    if ids:
        fields["verdict_id"] = kind._id(fields)
    path = folder / kind.MANIFEST
    path.write_bytes(canonical_json(seal(fields, kind.SEAL) if sealed else fields))


def fields_with(change: Change, **more: bool) -> Callable[[Path], None]:
    return lambda folder: rewrite(folder, change, **more)


def text_with(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        path = folder / kind.MANIFEST
        path.write_bytes(change(path.read_bytes()))

    return spoil


def field(name: str, value: Any) -> Callable[[Path], None]:
    """One key of the document replaced."""
    return fields_with(lambda root: root.update({name: value}))


def first_net(**fields: Any) -> Callable[[Path], None]:
    return fields_with(lambda root: root["nets"][0].update(fields))


def first_metric(**fields: Any) -> Callable[[Path], None]:
    return fields_with(lambda root: root["nets"][0]["metrics"][0].update(fields))


def first_facts(**fields: Any) -> Callable[[Path], None]:
    return fields_with(lambda root: root["nets"][0]["pairs"][0]["net"]["facts"].update(fields))


def files(folder: Path) -> list[Path]:
    return sorted((folder / kind.REPORTS).iterdir())


def verdict_cases() -> Iterator[Case]:
    """Name, what spoils a sound folder, code, why."""
    yield from document_cases()
    yield from word_cases()
    yield from finding_cases()
    yield from report_cases()


def document_cases() -> Iterator[Case]:
    yield "truncated", text_with(lambda data: data[:-9]), "E_MANIFEST", "cut short"
    yield "spaces", text_with(lambda data: data.replace(b",", b", ")), "E_MANIFEST", "not in canonical form"
    twice = text_with(lambda data: b'{"seeds":{"root":0},' + data[1:])
    yield "key-twice", twice, "E_MANIFEST", "a key stands twice"
    yield "list", text_with(lambda data: b"[" + data + b"]"), "E_MANIFEST", "no object"
    edited = text_with(lambda data: data.replace(b'"outcome":"pass"', b'"outcome":"fail"'))
    yield "edited", edited, "E_MANIFEST", "its outcome changed by hand, its seal left"
    stale = fields_with(lambda root: root.update(seeds={"root": 1}), ids=False)
    yield "stale-id", stale, "E_VERDICT_ID", "another seed under the same id"
    yield "other-format", field("format", "ticketctl.report"), "E_FORMAT", "not a verdict"
    yield "newer-major", field("format_version", "2.0"), "E_VERSION", "a major version from the future"
    features = ["verdict.lth-pass", "verdict.oracle"]
    yield "feature", field("features", features), "E_FEATURE", "a feature nobody has yet"
    yield "unknown-key", field("more", "x"), "E_MANIFEST", "a key that 1.0 has not"
    yield "missing-key", fields_with(lambda root: root.pop("rule")), "E_MANIFEST", "no rule"
    yield "no-net", field("nets", []), "E_MANIFEST", "a verdict on nothing"
    yield "no-pair", first_net(pairs=[]), "E_MANIFEST", "a net of which there is none"


def word_cases() -> Iterator[Case]:
    for name, report, why in (
        ("path-up", "rp1" + "../" * 9 + "aa", "a report's id that leads out of the folder"),
        ("path-root", "/etc/passwd", "a report's id that is a path"),
        ("path-run", "rn1" + "a" * 29, "a run's id where a report's belongs"),
    ):
        change = lambda root, report=report: root["nets"][0]["pairs"][0]["net"].update(report=report)  # noqa: E731  # short
        yield name, fields_with(change), "E_MANIFEST", why
    yield "control", first_net(name="imp\x1b[2J"), "E_MANIFEST", "a terminal escape in a name"
    yield "density", first_net(density="1e999999999"), "E_MANIFEST", "a number that would fill the memory"
    yield "density-zero", first_net(density="1/0"), "E_MANIFEST", "nothing divided by"
    yield "density-long", first_net(density="1/" + "9" * 40), "E_MANIFEST", "a fraction of too many digits"
    yield "classes", first_facts(classes=0), "E_MANIFEST", "a net without classes"
    for name, said in (
        ("rate-above", "1.7"),
        ("rate-below", "-0.1"),
        ("rate-digits", "2e-0"),
        ("rate-inf", "inf"),
    ):
        yield name, first_facts(train_accuracy=said), "E_MANIFEST", "a training accuracy that is no share"
    yield "kept", first_facts(kept=1001), "E_MANIFEST", "more weights kept than there are"
    yield "float", first_metric(mean=0.9), "E_MANIFEST", "a float in a record"
    yield "metric-word", first_metric(metric="a b"), "E_MANIFEST", "a metric with a space"
    rule = fields_with(lambda root: root["rule"].update(winning="s999"))
    yield "rule", rule, "E_MANIFEST", "a rule that no paper has"


def finding_cases() -> Iterator[Case]:
    """Sealed, with an id that fits: only judging again shows them."""
    wrong = fields_with(lambda root: (root.update(outcome="fail"), root["nets"][0].update(outcome="fail")))
    yield "outcome", wrong, "E_VERDICT", "a pass that is called a fail"
    yield "outcome-whole", field("outcome", "incomplete"), "E_VERDICT", "another outcome of the whole"
    yield "mean", first_metric(mean="0.95"), "E_VERDICT", "a better mean than the reports give"
    yield "mean-otherwise", first_metric(mean="0.8950000"), "E_VERDICT", "the same mean, written otherwise"
    yield "allowed", first_metric(allowed="0.5"), "E_VERDICT", "a tolerance of its own"
    relative = fields_with(lambda root: root["nets"][0]["metrics"][1]["relative"].update(mean="0.5"))
    yield "relative", relative, "E_VERDICT", "a better relative mCE than the reports give"
    yield "row", first_metric(row="auroc.svhn"), "E_VERDICT", "read from another row than it says"
    cut = fields_with(lambda root: root["nets"][0]["metrics"].pop())
    yield "metric-lost", cut, "E_VERDICT", "a required metric left out"
    far = fields_with(lambda root: root["ladders"][0].update(lth_pass="99/100"))
    yield "extreme", far, "E_VERDICT", "a sparsity that no level has"
    denser = first_net(density="1/1000")
    yield "density-alone", denser, "E_VERDICT", "another density than its extreme sparsities are of"
    many = fields_with(lambda root: root["nets"][0].update(indicative=False))
    yield "indicative", many, "E_VERDICT", "one seed called several"
    yield "unflagged", first_facts(collapsed=["fc.weight"]), "E_VERDICT", "a collapsed net without its flag"
    low = first_facts(train_accuracy="0.15")
    yield "guessing", low, "E_VERDICT", "a net that guesses, and passes"
    tol = fields_with(lambda root: root["rule"].update(tol_rel="-0.1"))
    yield "tolerance", tol, "E_VERDICT", "a tolerance below zero"
    other = fields_with(lambda root: root["rule"].update(winning="s003"))
    yield "rule-other", other, "E_VERDICT", "judged by another rule than it says"
    same = fields_with(lambda root: root["nets"][0]["pairs"].append(root["nets"][0]["pairs"][0]))
    yield "pair-twice", same, "E_VERDICT", "one seed counted twice"
    swap = fields_with(
        lambda root: [pair.update(net=pair["dense"], dense=pair["net"]) for pair in root["nets"][0]["pairs"]]
    )
    yield "sides", swap, "E_VERDICT", "the dense net in the place of the ticket"
    yield "run", fields_with(other_run), "E_VERDICT", "the report is on another run"
    yield "level", first_net(level=4), "E_VERDICT", "another level than its report is of"
    yield "mce-of-some", mce_of_some, "E_VERDICT", "a pass by an mCE over one corruption"
    yield "ticket-env", field("env", {"ticketctl": "9"}), "E_VERDICT", "of another version than its reports"


def mce_of_some(folder: Path) -> None:
    """What the sound verdict says of mCE, over reports that were shown fog alone."""
    finding = json.loads((folder / kind.MANIFEST).read_bytes())["nets"][0]["metrics"][1]
    shutil.rmtree(folder)
    fewer = [f"corruption.{name}" for name in STANDARD if name != "fog"]
    ours, dense = (verdicts.audit(run, without=fewer) for run in ("imp-0", "dense-0"))
    sound(folder, [verdicts.net([ours], [dense])])

    def forged(root: dict[str, Any]) -> None:
        root["nets"][0]["metrics"][1] = {**finding, "relative": None}
        root["nets"][0]["outcome"] = root["outcome"] = "pass"
        root["ladders"][0]["metrics"][1] |= {"sparsity": "9/10", "missing": 0}
        root["ladders"][0]["lth_pass"] = "9/10"

    rewrite(folder, forged)


def other_run(root: dict[str, Any]) -> None:
    root["nets"][0]["pairs"][0]["net"]["run"] = "rn1" + "a" * 29


def report_cases() -> Iterator[Case]:
    yield "no-reports", lambda folder: shutil.rmtree(folder / kind.REPORTS), "E_FILE_MISSING", "no report"
    yield "report-lost", lambda folder: files(folder)[0].unlink(), "E_FILE_MISSING", "a report is missing"
    yield "report-swapped", swapped, "E_REPORT_ID", "two reports under each other's names"
    yield "report-folder", in_a_folder, "E_PATH", "a folder where a report belongs"
    cut = lambda folder: files(folder)[0].write_bytes(files(folder)[0].read_bytes()[:-30])  # noqa: E731  # short
    yield "report-cut", cut, "E_STORE", "a report cut short"
    yield "report-other", better_report, "E_REPORT_ID", "another report under the name of one"
    yield "mixed", mixed, "E_VERDICT", "a report with another seed of the audit, named as it should be"


def swapped(folder: Path) -> None:
    one, two = files(folder)[:2]
    kept = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(kept)


def in_a_folder(folder: Path) -> None:
    path = files(folder)[0]
    path.unlink()
    path.mkdir()
    (path / "keep").write_text("a folder of a file's name\n")


def better_report(folder: Path) -> None:
    """What somebody does who wants a better ticket: the report measured again, under the old name."""
    name = verdicts.small()[0].pairs[0].net.report.id
    forged = verdicts.audit("imp-0", {"accuracy": 0.99})
    (folder / kind.REPORTS / f"audit-{name}.zarr.zip").write_bytes(encode_report(forged))


def mixed(folder: Path) -> None:
    old = verdicts.small()[0].pairs[0].net.report
    new = verdicts.audit("imp-0", verdicts.BETTER, seeds={"root": 1})
    new = replace(new, id="")
    data = encode_report(new)
    name = verdicts.decode_report(data, where="").id
    (folder / kind.REPORTS / f"audit-{old.id}.zarr.zip").unlink()
    (folder / kind.REPORTS / f"audit-{name}.zarr.zip").write_bytes(data)
    rewrite(folder, lambda root: root["nets"][0]["pairs"][0]["net"].update(report=name))


def newer(folder: Path) -> None:
    """A later minor version, which says more."""
    change = lambda root: (root.update(format_version="1.7", later=1), root["rule"].update(later="ignored"))  # noqa: E731  # short
    rewrite(folder, change)
