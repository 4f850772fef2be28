from __future__ import annotations

import json
import shutil
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.artifacts import samples
from ticketctl.artifacts.ladder import Ladder, kept_per_level
from ticketctl.artifacts.manifest import read_provenance, write_provenance
from ticketctl.artifacts.masks import mask_digest
from ticketctl.artifacts.models import ticket_id
from ticketctl.artifacts.ticket import open_ticket, write_ticket
from ticketctl.artifacts.verify import verify_ticket
from ticketctl.artifacts.weights import weights_digest
from ticketctl.errors import ArtifactError, UsageError


def failed(folder: Path) -> list[str]:
    return [f"{check.name} {check.code}" for check in verify_ticket(folder) if not check.ok]


def test_what_is_written_is_read(tmp_path: Path) -> None:
    ticket = samples.ticket(tmp_path)
    ladder = ticket.ladder()
    assert ladder is not None
    for level in range(samples.ROUNDS + 1):
        expected = {name: array >= level for name, array in samples.death().items()}
        found = ticket.mask(level)
        assert found.keys() == expected.keys()
        assert all((found[name] == expected[name]).all() for name in found)
        assert ticket.ticket_id_at(level) == ladder.ticket_ids[level]
    assert weights_digest(ticket.init()) == weights_digest(samples.weights())
    assert ticket.kept_by_level() == dict(enumerate(ladder.kept))
    assert ticket.ticket_id_at(None) == ticket.manifest.ticket_id == ladder.ticket_ids[-1]
    assert ladder.accuracy == (0.5, 0.515625, 0.53125, None)
    assert failed(tmp_path) == []


def test_the_manifest_keeps_what_the_draw_said(tmp_path: Path) -> None:
    manifest = samples.ticket(tmp_path).manifest
    assert manifest.draw.recipe == {
        "draw": {"method": "imp", "rate": "0.2"},
        "train": {"epochs": 2, "lr": "0.1"},
    }
    assert manifest.draw.levels[1].metrics == {"val/acc": "0.515625"}
    assert manifest.draw.cost.epochs == "8"
    assert manifest.init.epoch == "0.25"
    assert manifest.arch.size == (8, 8)


def test_equal_content_is_equal_bytes(tmp_path: Path) -> None:
    one, two = samples.ticket(tmp_path / "one"), samples.ticket(tmp_path / "two")
    for entry in one.manifest.files:
        assert (one.folder / entry.path).read_bytes() == (two.folder / entry.path).read_bytes()
    assert (one.folder / "ticket.json").read_bytes() == (two.folder / "ticket.json").read_bytes()


def test_the_id_is_of_net_start_and_mask_alone(tmp_path: Path) -> None:
    one = samples.ticket(tmp_path / "one").manifest
    other = samples.ticket(tmp_path / "two", with_ladder=False, citation="doi:x").manifest
    assert one.ticket_id == other.ticket_id
    assert one.manifest_digest != other.manifest_digest
    arch = one.arch.model_dump(mode="json")
    keep = samples.ladder().mask(samples.ROUNDS)
    assert one.ticket_id == ticket_id(arch, weights_digest(samples.weights()), mask_digest(keep))
    assert one.ticket_id != ticket_id(arch, weights_digest(samples.weights(1)), mask_digest(keep))


def test_without_a_ladder_there_is_one_level(tmp_path: Path) -> None:
    ticket = samples.ticket(tmp_path, with_ladder=False)
    assert ticket.ladder() is None
    assert ticket.mask(samples.ROUNDS).keys() == samples.SHAPES.keys()
    with pytest.raises(UsageError, match="one mask, level 3"):
        ticket.mask(1)
    with pytest.raises(UsageError, match="one mask, level 3"):
        ticket.ticket_id_at(1)


def test_levels_beyond_the_ladder(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there are levels 0 to 3"):
        samples.ticket(tmp_path).mask(4)


def test_an_empty_layer_passes_only_if_the_draw_said_so(tmp_path: Path) -> None:
    death = samples.death()
    death["fc2.weight"] = np.minimum(death["fc2.weight"], 2)
    ladder = Ladder(death, 3, (), (), ())
    draw = samples.draw(replace(ladder, kept=kept_per_level(death, 3)))
    options = {
        "arch": samples.ARCH,
        "keep": ladder.mask(3),
        "init": samples.weights(),
        "ladder": ladder,
        "level": 3,
    }
    write_ticket(tmp_path, **options, draw=draw)
    assert failed(tmp_path) == ["layers E_COUNT", "ladder E_COUNT"]
    draw["levels"][3]["empty_layers"] = ["fc2.weight"]
    write_ticket(tmp_path, **options, draw=draw)
    assert failed(tmp_path) == []


def test_files_that_are_links_are_not_followed(tmp_path: Path) -> None:
    samples.ticket(tmp_path / "a")
    shutil.move(tmp_path / "a" / "mask.safetensors", tmp_path / "mask")
    (tmp_path / "a" / "mask.safetensors").symlink_to(tmp_path / "mask")
    with pytest.raises(ArtifactError) as caught:
        open_ticket(tmp_path / "a")
    assert caught.value.code == "E_PATH"


def test_a_file_changed_after_opening_is_seen(tmp_path: Path) -> None:
    ticket = samples.ticket(tmp_path)
    other = samples.ticket(tmp_path / "other", level=1)
    shutil.copy(other.folder / "mask.safetensors", tmp_path / "mask.safetensors")
    with pytest.raises(ArtifactError) as caught:
        ticket.mask()
    assert caught.value.code == "E_FILE_DIGEST"


def test_a_manifest_that_cannot_be_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="the new TicketManifest: control"):
        samples.ticket(tmp_path, control={"kind": "unheard", "of": "tk1" + "a" * 29})
    assert not (tmp_path / "ticket.json").exists()


def test_a_mask_beside_the_ladder_is_not_written(tmp_path: Path) -> None:
    options = {"arch": samples.ARCH, "init": samples.weights(), "draw": samples.draw(samples.ladder())}
    for level in (2, 4):
        with pytest.raises(ValueError, match="not level"):
            write_ticket(
                tmp_path, **options, keep=samples.ladder().mask(3), ladder=samples.ladder(), level=level
            )
    assert not list(tmp_path.glob("*.json"))


def test_a_whole_directory_that_is_absent(tmp_path: Path) -> None:
    assert [check.code for check in verify_ticket(tmp_path / "none")] == ["E_FILE_MISSING"]


def test_provenance_is_replaced_whole_and_covered_by_nothing(tmp_path: Path) -> None:
    samples.ticket(tmp_path)
    assert read_provenance(tmp_path) == {}
    write_provenance(tmp_path, {"seconds": 1.5, "argv": ["draw"]})
    write_provenance(tmp_path, {"seconds": 2.5})
    assert read_provenance(tmp_path) == {"seconds": 2.5}
    assert failed(tmp_path) == []
    (tmp_path / "provenance.json").write_text("[]")
    with pytest.raises(ArtifactError):
        read_provenance(tmp_path)


def test_reading_needs_neither_torch_nor_zarr(tmp_path: Path) -> None:
    samples.ticket(tmp_path / "ticket")
    samples.run(tmp_path / "run")
    script = f"""
        import json, sys
        from pathlib import Path
        from ticketctl.artifacts.verify import verify_run, verify_ticket
        import ticketctl.artifacts.workspace
        checks = verify_ticket(Path({str(tmp_path / "ticket")!r})) + verify_run(Path({str(tmp_path / "run")!r}))
        heavy = [name for name in ("torch", "zarr", "rich") if name in sys.modules]
        print(json.dumps([all(check.ok for check in checks), heavy]))
    """
    said = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=True
    )
    assert json.loads(said.stdout) == [True, []]
