"""Other people's nets: torchvision's, timm's and a user's own."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import nn

from ticketctl.errors import MissingExtraError, UsageError
from ticketctl.masks.prunable import POLICIES, head, policy, prunable
from ticketctl.nets._zoo_names import zoo_names
from ticketctl.nets.build import build, find, layout, source
from ticketctl.nets.describe import parameter_count
from ticketctl.nets.initialise import initialise_
from ticketctl.plugins import is_own, serving
from ticketctl.seeds import Seeds

SMALL = (3, 64, 64)


# ---------------------------------------------------------------------------------------------------- torchvision


def test_torchvisions_names_are_read_without_importing_it_and_are_its_own() -> None:
    from torchvision import models

    assert list(zoo_names("torchvision")) == sorted(models.list_models(module=models))
    code = "import sys; from ticketctl.nets._zoo_names import zoo_names as names; "
    code += "print(len(names('torchvision')), *sys.modules)"
    seen = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert int(seen[0]) >= 80
    assert not {"torch", "torchvision"} & set(seen)


@pytest.mark.long
@pytest.mark.parametrize("name", ["resnet18", "squeezenet1_1", "shufflenet_v2_x0_5", "mobilenet_v3_small"])
def test_a_net_of_torchvision_is_its_own_with_our_values(name: str) -> None:
    from torchvision import models

    ours = initialise_(build(f"torchvision:{name}", shape=SMALL, classes=7), "kaiming-normal", Seeds(0))
    with torch.device("meta"):
        theirs = models.get_model(name, num_classes=7)
    assert {key: value.shape for key, value in ours.state_dict().items()} == {
        key: value.shape for key, value in theirs.state_dict().items()
    }
    again = initialise_(build(f"torchvision:{name}", shape=SMALL, classes=7), "kaiming-normal", Seeds(0))
    assert all(
        torch.equal(a, b)
        for a, b in zip(ours.state_dict().values(), again.state_dict().values(), strict=True)
    )
    assert source(f"torchvision:{name}") == "torchvision"
    assert ours.training


def test_no_weight_is_asked_of_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("a download")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", refuse)
    monkeypatch.setattr("socket.socket.connect", refuse)
    build("torchvision:mobilenet_v2", shape=SMALL, classes=7)


@pytest.mark.long
def test_auxiliary_heads_and_dropout_are_off() -> None:
    for name in ("googlenet", "efficientnet_b0"):
        model = initialise_(build(f"torchvision:{name}", shape=SMALL, classes=7), "torch", Seeds(0)).train()
        x = torch.zeros(2, *SMALL)
        with torch.no_grad():
            assert torch.equal(model(x), model(x))
            assert model(x).shape == (2, 7)


@pytest.mark.long
@pytest.mark.parametrize("name", ["resnet18", "densenet121", "squeezenet1_1"])
def test_other_channels_than_three_get_a_first_convolution_of_their_own(name: str) -> None:
    model = build(f"torchvision:{name}", shape=(1, 32, 32), classes=7)
    first = next(module for module in model.modules() if isinstance(module, nn.Conv2d))
    usual = build(f"torchvision:{name}", shape=(3, 32, 32), classes=7)
    assert parameter_count(usual) - parameter_count(model) == 2 * first.weight.numel()


@pytest.mark.long
def test_a_vision_transformer_takes_the_size_of_the_data() -> None:
    model = layout("torchvision:vit_b_32", shape=SMALL, classes=7)
    assert model.get_parameter("encoder.pos_embedding").shape == (1, 5, 768)
    with pytest.raises(UsageError, match="vit_b_32 takes square images, not 32x64"):
        build("torchvision:vit_b_32", shape=(3, 32, 64), classes=7)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("torchvision:resnt18", "no net named 'resnt18' in torchvision; did you mean 'resnet18'?"),
        ("torchvision:", "no net named '' in torchvision; there is alexnet"),
        ("torchvision:alexnet", "torchvision:alexnet: cannot take 3x16x16 images: RuntimeError: "),
        ("torchvision:vit_b_32", "torchvision:vit_b_32: cannot be built: "),
        ("torchvision:deeplabv3_resnet50", "no net named"),
    ],
)
def test_nets_that_are_not_there_or_do_not_fit_say_so_in_one_line(name: str, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        build(name, shape=(3, 16, 16), classes=10)
    assert str(caught.value).startswith(words)
    assert "\n" not in str(caught.value)


def test_options_of_our_nets_are_refused() -> None:
    from fractions import Fraction

    with pytest.raises(UsageError, match="torchvision:resnet18 has no option conv_bias"):
        build("torchvision:resnet18", shape=SMALL, classes=7, conv_bias=False)
    with pytest.raises(UsageError, match="torchvision:resnet18 has no widths to choose"):
        build("torchvision:resnet18", shape=SMALL, classes=7, width=Fraction(1, 2))


# ----------------------------------------------------------------------------------------------------------- timm


@pytest.fixture
def no_timm(monkeypatch: pytest.MonkeyPatch) -> None:
    from ticketctl.nets import _zoo_names

    spec_of = _zoo_names.find_spec
    monkeypatch.setattr(_zoo_names, "find_spec", lambda name: None if name == "timm" else spec_of(name))


@pytest.mark.usefixtures("no_timm")
def test_without_timm_its_nets_name_the_install_line() -> None:
    with pytest.raises(
        MissingExtraError, match=r"timm:resnet26t needs timm: pip install 'ticketctl\[models\]'"
    ):
        find("timm:resnet26t")
    assert zoo_names("timm") == ()


TIMM = """
from torch import nn
calls = []
def register_model(f): return f
def create_model(name, **options):
    calls.append((name, options))
    if name == "no_size" and "img_size" in options:
        raise TypeError("Net.__init__() got an unexpected keyword argument 'img_size'")
    drop = nn.Dropout(0.5)
    return nn.Sequential(nn.Conv2d(options["in_chans"], 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), drop,
                         nn.Linear(4, options["num_classes"]))
"""


@pytest.fixture
def fake_timm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """A timm with two nets, as far as we ask it for anything."""
    (tmp_path / "timm/models").mkdir(parents=True)
    (tmp_path / "timm/__init__.py").write_text(TIMM)
    nets = "\n".join(
        f"@register_model\ndef {name}(pretrained=False, **kwargs): ..." for name in ("sized", "no_size")
    )
    (tmp_path / "timm/models/nets.py").write_text(nets)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "timm", raising=False)
    import timm

    yield timm
    del sys.modules["timm"]


@pytest.mark.parametrize("name", ["sized", "no_size"])
def test_timm_is_given_channels_classes_and_where_it_takes_one_the_size(
    fake_timm: ModuleType, name: str
) -> None:
    model = build(f"timm:{name}", shape=(1, 12, 8), classes=5)
    assert model(torch.zeros(2, 1, 12, 8)).shape == (2, 5)
    sized = [options.pop("img_size", None) for _, options in fake_timm.calls]
    assert sized == [(12, 8)] if name == "sized" else [(12, 8), None]
    assert all(
        options == {"pretrained": False, "num_classes": 5, "in_chans": 1} for _, options in fake_timm.calls
    )
    assert source(f"timm:{name}") == "timm"
    with pytest.raises(UsageError, match=r"no net named 'hf-hub:org/net' in timm; there is no_size, sized"):
        find("timm:hf-hub:org/net")


def test_the_real_timm_where_it_is_installed() -> None:
    timm = pytest.importorskip("timm")
    assert list(zoo_names("timm")) == sorted(timm.list_models())
    for name in ("resnet10t", "vit_tiny_patch16_224", "ghostnet_050"):
        model = initialise_(build(f"timm:{name}", shape=(1, 64, 64), classes=7), "torch", Seeds(0))
        assert model.eval()(torch.ones(2, 1, 64, 64)).isfinite().all()


# ---------------------------------------------------------------------------------------------------------- yours

NETS = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, channels, size, classes):
        super().__init__()
        self.scale = torch.tensor(2.0)                       # neither parameter nor buffer
        self.gamma = nn.Parameter(torch.full((4,), 1e-3))
        self.place = nn.Parameter(torch.randn(1, 4, *size))
        self.register_buffer("wave", torch.arange(size[1]).sin(), persistent=False)
        self.conv = nn.Conv2d(channels, 4, 3, padding=1)
        self.fc = nn.Linear(4, classes)

    def forward(self, x):
        x = (self.conv(x) + self.place) * self.wave * self.scale
        return self.fc(x.mean((2, 3)) * self.gamma)

def make(channels, size, classes):
    return Net(channels, size, classes)

def double(channels, size, classes):
    return Net(channels, size, classes).double()

def dropping(channels, size, classes):
    return nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(channels * size[0] * size[1], classes))

def text(channels, size, classes):
    return "a net"

def short(channels, size):
    return None

def lazy(channels, size, classes):
    return nn.Sequential(nn.Flatten(), nn.LazyLinear(classes))

def on_meta(channels, size, classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(channels * size[0] * size[1], classes, device="meta"))

def two(channels, size, classes):
    class Two(nn.Linear):
        def forward(self, x):
            return super().forward(x.flatten(1)), x
    return Two(channels * size[0] * size[1], classes)

def wrong(channels, size, classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(3, classes))

def complex(channels, size, classes):
    net = nn.Linear(3, 2)
    net.register_buffer("rotation", torch.zeros(2, dtype=torch.complex64))
    return net

something = 3
"""


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with modules of the user's, which is the current one."""
    (tmp_path / "my_nets.py").write_text(NETS)
    (tmp_path / "broken_net.py").write_text("import nothing_of_this_name\n")
    (tmp_path / "leaving_net.py").write_text("raise SystemExit(3)\n")
    monkeypatch.chdir(tmp_path)
    for name in ("my_nets", "broken_net", "leaving_net"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return tmp_path


@pytest.mark.usefixtures("mine")
def test_a_net_of_ones_own_keeps_its_constants_and_gets_our_numbers() -> None:
    before, path = torch.get_rng_state(), list(sys.path)
    model = initialise_(build("my_nets:make", shape=(2, 5, 7), classes=3), "kaiming-normal", Seeds(0))
    assert torch.equal(torch.get_rng_state(), before)
    assert sys.path == path
    assert model.scale == 2
    assert torch.equal(model.gamma, torch.full((4,), 1e-3))
    assert torch.equal(model.wave, torch.arange(7).sin())
    assert model.place.std() < 0.03
    torch.rand(3)
    again = initialise_(build("my_nets:make", shape=(2, 5, 7), classes=3), "kaiming-normal", Seeds(0))
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))
    assert source("my_nets:make") == "custom"
    assert prunable(model, policy("default")) == ("conv.weight", "fc.weight")
    assert {p.dtype for p in build("my_nets:double", shape=(2, 5, 7), classes=3).parameters()} == {
        torch.float32
    }
    assert layout("my_nets:make", shape=(2, 5, 7), classes=3).conv.weight.is_meta


@pytest.mark.usefixtures("mine")
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("my_nets:mak", "my_nets:mak: my_nets has no 'mak'; did you mean 'make'?"),
        ("my_nets:something", "my_nets:something: 'something' of my_nets is no function"),
        ("no_such_module_of_mine:make", "no_such_module_of_mine cannot be imported: ModuleNotFoundError"),
        (
            "broken_net:make",
            "broken_net cannot be imported: ModuleNotFoundError: No module named 'nothing_of_",
        ),
        ("leaving_net:make", "leaving_net cannot be imported: SystemExit"),
        ("my_nets:text", "my_nets:text: gave a str, not a torch.nn.Module"),
        ("my_nets:short", "cannot be built: TypeError: short() got an unexpected keyword argument 'classes'"),
        ("my_nets:dropping", "takes random numbers while it runs (Dropout 1)"),
        ("my_nets:lazy", "1.weight has no shape before a first run"),
        ("my_nets:on_meta", "1.weight has no values (meta device)"),
        ("my_nets:two", "for two images it gives a tuple, and not logits, [2, 10]"),
        (
            "my_nets:wrong",
            "my_nets:wrong: cannot take 3x8x8 images: RuntimeError: ",
        ),
        ("my_nets:complex", "rotation is of torch.complex64, which no artifact stores"),
        ("my nets:make", "no model named 'my nets:make'"),
        ("my_nets:make:it", "no model named"),
        (":make", "no model named"),
    ],
)
def test_what_is_wrong_with_a_net_of_ones_own_is_one_line(name: str, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        build(name, shape=(3, 8, 8), classes=10)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.long
def test_a_module_on_pythonpath_is_found_from_any_directory(tmp_path: Path) -> None:
    (tmp_path / "lib/nets_of_mine").mkdir(parents=True)
    (tmp_path / "lib/nets_of_mine/flat.py").write_text(
        "from torch import nn\n"
        "def make(channels, size, classes):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(channels * size[0] * size[1], classes))\n"
    )
    code = """
        from ticketctl.nets.build import build
        print(build("nets_of_mine.flat:make", shape=(1, 2, 2), classes=3))
    """
    import os

    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path / "lib"), *sys.path])}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        cwd="/",
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "in_features=4, out_features=3" in done.stdout


# ---------------------------------------------------------------------------------------------------------- names


@pytest.mark.parametrize(
    ("name", "listed"),
    [
        ("resnet18", "resnet18"),
        ("torchvision:resnet101", "torchvision:NAME"),
        ("timm:resnet26t", "timm:NAME"),
        ("package.module:make", "MODULE:FUNCTION"),
    ],
)
def test_a_name_with_a_colon_is_served_by_what_stands_before_it(name: str, listed: str) -> None:
    found = serving("nets", name)
    assert found is not None
    assert found.name == listed
    assert is_own("nets", name) == (listed == "MODULE:FUNCTION")
    assert serving("draws", "package.module:make") is None


# ------------------------------------------------------------------------------- what is prunable in the new nets

PRUNABLE = [
    ("default", "mobilenet", 3_185_088 + 10_240),
    ("paper-000", "vgg19", 20_018_880 + 5_120),
    ("paper-001", "mobilenet", 3_185_088),
    ("paper-001", "vgg16", 14_710_464),
    ("paper-002", "vgg16", 14_710_464 + 5_120),
    ("paper-003", "vgg16", 14_710_464 + 5_120),
    ("paper-004", "vgg11", 9_217_728),
    ("paper-004", "wrn-28-10", 36_454_832),
    ("openlth", "vgg16", 14_710_464),
    ("openlth", "wrn-22-2", 1_075_632 + 1_280),
    ("openlth", "mobilenet", 3_185_088),
]


@pytest.mark.parametrize(("preset", "name", "weights"), PRUNABLE)
def test_a_preset_prunes_what_its_paper_pruned(preset: str, name: str, weights: int) -> None:
    model = layout(name, shape=(3, 32, 32), classes=10)
    assert sum(model.get_parameter(each).numel() for each in prunable(model, policy(preset))) == weights
    assert head(model) == "fc.weight"


@pytest.mark.long
@pytest.mark.parametrize("preset", POLICIES)
def test_every_preset_has_something_to_prune_in_nets_of_torchvision(preset: str) -> None:
    for name in ("mobilenet_v3_small", "squeezenet1_1"):
        model = layout(f"torchvision:{name}", shape=SMALL, classes=7)
        assert prunable(model, policy(preset))


def test_first_convolution_and_depthwise_ones_can_stay_dense() -> None:
    from ticketctl.masks.prunable import Policy

    model = layout("mobilenet", shape=(3, 32, 32), classes=10)
    names = prunable(model, Policy(first="dense", exclude=(r"^layers\.\d+\.0\.",)))
    weights = sum(model.get_parameter(name).numel() for name in names)
    assert weights == 3_185_088 + 10_240 - 3 * 9 * 32 - 44_640
