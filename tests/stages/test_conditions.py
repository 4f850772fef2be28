"""What a kept part says of code that is not ours: measured under other code, it is another part."""

from __future__ import annotations

import hashlib
import importlib
import sys
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.stages import tiny
from ticketctl.errors import MismatchError, StoppedError
from ticketctl.plugins import plugins
from ticketctl.seeds import Seeds
from ticketctl.stages import conditions
from ticketctl.stages.conditions import code, version_of
from ticketctl.stages.explored import explored
from ticketctl.stages.named import Asked, named
from ticketctl.stages.probe import asked_of
from ticketctl.stages.subject import Opener

NET = """
NAMES = {"their-net": "a net of theirs"}

def build(name, *, channels, size, classes, stem):
    from torch import nn
    return nn.Sequential(nn.Flatten(), nn.Linear(channels * size[0] * size[1], classes))
"""
TWEAK = '''"""A tweak of theirs."""

def tweak(lab, *, params):
    raise NotImplementedError
'''


@pytest.fixture
def theirs(tmp_path: Path) -> Iterator[Path]:
    """Another's package, as pip would install it."""
    (tmp_path / "their_nets.py").write_text(NET)
    (tmp_path / "their_tweaks.py").write_text(TWEAK)
    facts = tmp_path / "theirs-1.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1\n")
    (facts / "entry_points.txt").write_text(
        "[ticketctl.nets]\ntheirs = their_nets\n[ticketctl.tweaks]\ntheir-tweak = their_tweaks\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(tmp_path)
        patch.delitem(sys.modules, "their_nets", raising=False)  # of another test, in another folder
        importlib.invalidate_caches()
        plugins.cache_clear()
        yield tmp_path
    plugins.cache_clear()


def test_code_of_other_packages_is_known_by_its_bytes_and_that_of_zoos_by_its_version(theirs: Path) -> None:
    def digest(name: str) -> str:
        return f"sha256:{hashlib.sha256((theirs / name).read_bytes()).hexdigest()}"

    assert code("their-net", (), tweaks=("their-tweak", "swish")) == {
        "net their-net": digest("their_nets.py"), "tweak their-tweak": digest("their_tweaks.py"),
    }  # fmt: skip
    assert code("torchvision:resnet18", ()) == {"net torchvision:resnet18": version("torchvision")}
    assert code("timm:resnet26t", ()) == {"net timm:resnet26t": version_of("timm")}
    assert code("resnet18", ("linear-probe",)) == {}


def test_a_part_measured_under_other_code_of_the_net_is_another_part(theirs: Path, tmp_path: Path) -> None:
    (net,) = named(Asked(model="lenet-300-100", data="digits", workspace=tmp_path / "runs"))
    model = net.recipe.model.model_copy(update={"name": "their-net"})
    around, asked = tiny.around(tmp_path / "cache"), explored("probe", "linear-probe", (), None, None)
    other = net.recipe.model_copy(update={"model": model})
    subject = Opener(around).open(replace(net, recipe=other))
    paths = []
    for text in (NET, NET + "# a line more\n"):
        (theirs / "their_nets.py").write_text(text)
        paths.append(asked_of(subject, asked, Seeds(0), around).parts.path("linear-probe"))
    assert paths[0] != paths[1]


def test_a_draw_of_a_net_of_theirs_does_not_go_on_under_other_code_of_it(
    theirs: Path, tmp_path: Path
) -> None:
    folder, polls = tmp_path / "seed-0", iter(range(1000))
    words = ("model.name=their-net", "draw.rounds=1", "draw.rate=0.5")
    with pytest.raises(StoppedError):
        tiny.draw(folder, *words, stop=lambda: 75 if next(polls) > 12 else None)
    assert (folder / "intent.json").is_file()
    (theirs / "their_nets.py").write_text(NET + "# a line more\n")
    with pytest.raises(
        MismatchError, match=r"begun with something else: versions\.net their-net was 'sha256:"
    ):
        tiny.draw(folder, *words)
    (theirs / "their_nets.py").write_text(NET)
    assert tiny.draw(folder, *words).manifest.level == 1


def test_the_head_of_a_report_shares_its_name_with_nothing() -> None:
    folder = Path(conditions.__file__).parent
    assert [path.name for path in folder.glob("*.py") if "def head_of(" in path.read_text()] == [
        "conditions.py"
    ]
