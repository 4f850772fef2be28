"""`ticketctl export`: what is written, what it says of weights and bytes, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import safetensors.numpy
import torch

import ticketctl
from tests.cli.conftest import Program, ask
from tests.cli.ladder import levels, seed_0
from tests.unfenced import unfenced  # noqa: F401  # a fixture for all tests here
from ticketctl.artifacts.masks import mask_digest
from ticketctl.artifacts.run import open_run
from ticketctl.artifacts.ticket import open_ticket
from ticketctl.errors import UsageError


def test_a_file_says_its_ticket_its_weights_its_bytes_and_that_a_mask_is_not_speed(
    cli: Program, home: Path
) -> None:
    said = cli("export", "--as", "torch-prune", "--out", "out/a.pth", "--level", "1")
    whole = open_ticket(next(home.glob("runs/*/imp-*/seed-0/ticket")))
    assert said.code == 0, said.err
    assert f"{whole.ticket_id_at(1)}, level 1: {whole.kept_by_level()[1]} of " in said.out
    assert "those it starts from (init, step 0), not trained under the mask" in said.out
    assert f"out/a.pth, torch-prune, {(home / 'out/a.pth').stat().st_size:,} bytes" in said.out
    assert "a mask makes nothing faster by itself" in said.err
    again = cli("export", "--as", "torch-prune", "--out", "out/a.pth", "--level", "1", "--json", "-q")
    assert again.json["result"]["made"] is False
    assert again.json["result"]["kept"] == whole.kept_by_level()[1]


def test_what_is_exported_and_imported_again_has_its_mask_and_its_start(cli: Program, home: Path) -> None:
    whole = open_ticket(next(home.glob("runs/*/imp-*/seed-0/ticket")))
    assert cli("export", "--as", "torch-prune", "--out", "a.pth").code == 0
    said = cli("import", "a.pth", "--model", "lenet-300-100", "--data", "digits", "--workspace", "new")
    assert said.code == 0, said.err
    back = open_ticket(next(home.glob("new/*/import-*/seed-0/ticket")))
    assert back.manifest.mask.digest == whole.manifest.mask.digest
    assert back.manifest.init.digest == whole.manifest.init.digest


def test_trained_weights_are_those_of_a_run_of_this_very_ticket(cli: Program, home: Path) -> None:
    dense, pruned = levels(home)
    said = cli("export", "--as", "zeros", "--out", "a", "--level", "1", "--weights", pruned)
    assert f"trained ones, of run {open_run(home / pruned).manifest.run_id}" in said.out
    weights = open_run(home / pruned).weights()
    for name, array in safetensors.numpy.load_file(home / "a.safetensors").items():
        np.testing.assert_array_equal(array, weights[name].array())
    assert cli("export", pruned, "--as", "zeros", "--out", "a", "--json").json["result"]["made"] is False
    wrong = cli("export", "--as", "zeros", "--out", "b", "--weights", pruned)
    assert (wrong.code, "it is of tk1" in wrong.complaint) == (2, True)
    for run, more, what in (
        (dense, (), "is dense: it has no mask"), (pruned, ("--weights", pruned), "weights of its own"),
        (pruned, ("--level", "1"), "--level is for tickets"),
    ):  # fmt: skip
        said = cli("export", run, "--as", "npz", "--out", "b", *more)
        assert (said.code, what in said.complaint) == (2, True)
    assert not [*home.glob("b*")]
    said = cli("export", "--as", "open-lth", "--out", "b", "--weights", pruned, "--level", "1")
    assert (said.code, "masks and no weights" in said.complaint) == (2, True)


def test_a_run_of_a_ticket_with_the_same_mask_and_another_start_is_refused(cli: Program, home: Path) -> None:
    control = f"{seed_0(home)}/controls/reinit"
    assert cli("spend", control, "--level", "2", "--epochs", "1", "-q").code == 0
    run = next(path for path in home.glob(f"{control}/spends/*/2-seed-0"))
    whole = open_ticket(home / seed_0(home) / "ticket")
    assert mask_digest(open_run(run).mask() or {}) == whole.manifest.mask.digest
    said = cli("export", seed_0(home), "--weights", str(run), "--as", "npz", "--out", "a")
    assert (said.code, f"no run of {whole.manifest.ticket_id[:11]}" in said.complaint) == (2, True)
    assert cli("export", control, "--weights", str(run), "--as", "npz", "--out", "a").code == 0


def test_the_net_of_a_tweaked_run_computes_with_its_tweak_in_onnx(cli: Program, home: Path) -> None:
    assert cli("spend", "--level", "2", "--tweaks", "swish", "--epochs", "1", "-q").code == 0
    run = next(path for path in home.glob("runs/*/imp-*/seed-0/spends/*/2-seed-0"))
    said = cli("export", str(run), "--as", "onnx", "--out", "a.onnx")
    assert said.code == 0, said.err
    session = onnxruntime.InferenceSession(home / "a.onnx")
    images = np.linspace(-1, 1, 3 * 64, dtype=np.float32).reshape(3, 1, 8, 8)
    hidden = torch.from_numpy(images.reshape(3, 64))
    weights = {name: torch.from_numpy(leaf.array().copy()) for name, leaf in open_run(run).weights().items()}
    for at in ("fc1", "fc2", "fc3"):
        hidden = torch.nn.functional.linear(hidden, weights[f"{at}.weight"], weights[f"{at}.bias"])
        hidden = hidden if at == "fc3" else torch.nn.functional.silu(hidden)
    np.testing.assert_allclose(session.run(None, {"images": images})[0], hidden.numpy(), atol=1e-5)
    assert "swish changed the net" in cli("export", str(run), "--as", "npz", "--out", "b").err


def test_a_ladder_goes_into_level_folders(cli: Program, home: Path) -> None:
    said = cli("export", "--as", "open-lth", "--level", "all", "--out", "lth")
    assert "levels 0 to 2" in said.out
    masks = [torch.load(home / f"lth/level_{at}/main/mask.pth", weights_only=True) for at in range(3)]
    assert [sum(int(mask.sum()) for mask in one.values()) for one in masks] == list(
        open_ticket(next(home.glob("runs/*/imp-*/seed-0/ticket"))).kept_by_level().values()
    )
    assert {mask.dtype for mask in masks[0].values()} == {torch.int32}
    assert list(masks[0]) == ["fc_layers.0.weight", "fc_layers.1.weight", "fc.weight"]
    for words in (("--as", "npz"), ("--as", "open-lth", "--weights", levels(home)[1])):
        said = cli("export", *words, "--level", "all", "--out", "other")
        assert (said.code, "--level all" in said.complaint) == (2, True)


@pytest.mark.parametrize(
    ("words", "what"),
    [
        ((), "--as FORM: write one of torch-prune, open-lth"), (("--as", "onx"), "--as onx: write one of"),
        (("--as", "npz"), "--out: name the file to write, such as ticket.npz"),
        (("--as", "npz", "--out", "runs"), "this is a folder"), (("--as", "2:4", "--out", "a"), "2:4 wants 2 kept"),
        (("nothing", "--as", "npz", "--out", "a"), "no ticket 'nothing'"),
        (("--as", "npz", "--out", "a", "--level", "9"), "no level 9"),
        (("--as", "zeros", "--out", "a.pth"), "--out a.pth: a file of zeros ends in .safetensors"),
        (("--as", "onnx", "--out", "a.safetensors"), "a file of onnx ends in .onnx"),
        (("--as", "torch-prune", "--out", "a.npz"), "a file of torch-prune ends in .pth or .pt or .ckpt"),
        (("--as", "npz", "--out", "a.pt"), "a file of npz ends in .npz"),
    ],
)  # fmt: skip
def test_what_cannot_be_exported_is_refused_in_a_line(words: tuple[str, ...], what: str, drawn: Path) -> None:
    said = ask(drawn, "export", *words)
    assert (said.code, what in said.complaint) == (2, True), said.err
    assert not [*drawn.glob("a.*")]


def test_a_name_without_an_ending_is_given_that_of_the_form_and_that_is_said(
    cli: Program, home: Path
) -> None:
    for name, form, made in (
        ("x", "zeros", "x.safetensors"),
        ("imp-0.9", "coo", "imp-0.9.pth"),
        ("y.PT", "coo", "y.PT"),
    ):
        said = cli("export", "--as", form, "--out", name, "--json")
        assert said.json["result"]["files"] == [made]
        assert (home / made).is_file()
        told = f"--out {name}: written to {made}, for a file of {form} ends so"
        assert (told in said.json["result"]["notes"]) == (name != made)
    (home / "z.npz").mkdir()
    refused = cli("export", "--as", "npz", "--out", "z")
    assert (refused.code, "--out z.npz: this is a folder" in refused.complaint) == (2, True)


def test_another_file_that_lies_there_stays(cli: Program, home: Path) -> None:
    (home / "a.npz").write_bytes(b"mine")
    said = cli("export", "--as", "npz", "--out", "a.npz")
    assert (said.code, "another file lies there" in said.complaint) == (2, True)
    assert (home / "a.npz").read_bytes() == b"mine"


def test_python_writes_the_file_of_the_command(cli: Program, home: Path) -> None:
    assert cli("export", "--as", "npz", "--out", "a.npz", "--level", "1").code == 0
    whole = ticketctl.load_ticket(home / seed_0(home), workspace=home / "runs")
    path = ticketctl.export(whole, "npz", home / "b.npz", level=1)
    assert path.read_bytes() == (home / "a.npz").read_bytes()
    run = ticketctl.export(str(home / levels(home)[1]), "npz", home / "c.npz")
    trained = ticketctl.export(f"{seed_0(home)}@1", "npz", home / "d.npz", weights=home / levels(home)[1],
                               workspace=home)  # fmt: skip
    assert run.read_bytes() == trained.read_bytes() != path.read_bytes()
    with pytest.raises(UsageError, match="so does level=2"):
        ticketctl.export(f"{seed_0(home)}@1", "npz", home / "e.npz", level=2, workspace=home)


def test_list_says_what_is_read_and_what_is_written(read: Program) -> None:
    rows = {row.split()[0]: row for row in read("list", "dialects").out.splitlines()}
    assert {"onnx-sparse", "2:4", "torch-prune"} <= rows.keys()
    assert "only" in rows["onnx"]
    found = {
        one["name"]: one.get("facts", {}).get("export")
        for one in read("list", "dialects", "--json").json["result"]
    }
    assert (found["npz"], found["onnx"], found["tost"]) == ("yes", "only", None)
    assert "sparse initializers" in read("list", "dialects", "onnx-sparse").out
    assert "Layout:" in read("list", "dialects", "2:4").out


def test_a_mask_digest_is_that_of_the_level(cli: Program, home: Path) -> None:
    whole = open_ticket(next(home.glob("runs/*/imp-*/seed-0/ticket")))
    assert cli("export", "--as", "npz", "--out", "a.npz", "--level", "0.2").code == 0
    with np.load(home / "a.npz", allow_pickle=False) as file:
        keep = {
            name.removeprefix("bits/"): np.unpackbits(
                file[name], count=file[f"shape/{name[5:]}"].prod(), bitorder="little"
            ).astype(bool).reshape(file[f"shape/{name[5:]}"])
            for name in file if name.startswith("bits/")
        }  # fmt: skip
    assert mask_digest(keep) == mask_digest(whole.mask(1))
