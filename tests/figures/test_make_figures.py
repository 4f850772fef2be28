"""docs/make_figures.py: the pictures of the documentation come from the commands that its pages show."""

import re
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def script():
    spec = spec_from_file_location("make_figures", ROOT / "docs/make_figures.py")
    module = sys.modules["make_figures"] = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def page(tmp_path, script, monkeypatch):
    """A page of two sections of which one is run, its commands plain shell; the folder it lies in is the docs."""
    docs = tmp_path / "docs"
    (docs / "figures").mkdir(parents=True)
    (docs / "page.md").write_text(
        """
# Figures

```console
$ touch before.txt
```

## Pictures

```console
$ mkdir -p figures && echo one >> ran.txt
...
$ cp ran.txt figures/gain.lenet-digits.svg
```

<!-- not run: needs a browser -->
```console
$ echo two > page.png
```

```python
from pathlib import Path

Path("figures/onset.svg").write_text("three")
```

## More

```console
$ touch after.txt
```
""",
        encoding="utf-8",
    )
    section = script.Section(docs / "page.md", "## Pictures", "here")
    monkeypatch.setattr(script, "SECTIONS", (section,))
    return docs


def test_the_blocks_of_a_section_are_run_once_and_what_they_draw_is_placed(page, script, tmp_path):
    (page / "figures/gain.svg").write_text("old", encoding="utf-8")
    for _ in range(2):
        script.make(tmp_path / "runs", page, (), ())
    assert {path.name: path.read_text(encoding="utf-8") for path in (page / "figures").iterdir()} == {
        "gain.svg": "one\n",
        "onset.svg": "three",
    }
    left = {path.name for path in (tmp_path / "runs/here").iterdir()}
    assert not left & {"before.txt", "after.txt", "page.png"}


def test_what_is_not_run_is_run_where_its_reason_is_named(page, script, tmp_path):
    (page / "figures/page.png").write_text("old", encoding="utf-8")
    script.make(tmp_path / "runs", page, ("browser",), ("page.png",))
    assert (page / "figures/page.png").read_text(encoding="utf-8") == "two\n"
    assert not (tmp_path / "runs/here/ran.txt").exists(), "no command of that block has the word"


def test_a_command_that_fails_ends_all_and_is_run_again(page, script, tmp_path):
    known = script.environment(tmp_path / "bin")
    for _ in range(2):
        with pytest.raises(SystemExit, match=r"no\nwonder\s+exit 3: echo no"):
            script.run(["echo once >> ran.txt", "echo no; echo wonder >&2; exit 3"], tmp_path, known)
    assert (tmp_path / "ran.txt").read_text(encoding="utf-8") == "once\n"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("reliability.lenet-300-100-mnist-imp", "reliability"),
        ("mask-iou.levels.imp-0.5", "mask-iou.levels"),
        ("training-curves.accuracy", "training-curves.accuracy"),
        ("training-curves.loss", None),
        ("paper.003-11", "paper.003-11"),
    ],
)
def test_what_only_tells_runs_apart_is_left_out_of_a_name(script, name, shown):
    there = ["reliability", "mask-iou.levels", "mask-iou.tickets", "training-curves.accuracy"]
    assert script.as_shown(name, there) == shown


def test_every_picture_of_the_docs_is_of_a_figure_that_some_command_of_these_sections_draws(script):
    for section in script.SECTIONS:
        assert any(block.commands for block in script.blocks(section)), section
    commands = [
        one for section in script.SECTIONS for block in script.blocks(section) for one in block.commands
    ]
    named = {figure for one in commands for words in re.findall(r"plot .*--figure (\S+)", one)
             for figure in words.split(",")}  # fmt: skip
    assert {path.name.partition(".")[0] for path in (ROOT / "docs/figures").glob("*.svg")} <= named
    assert any("report.png" in one for one in commands)
