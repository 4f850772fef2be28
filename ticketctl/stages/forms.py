"""Forms that a ticket is exported in: those of the dialects that can be written, and those that nothing here reads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ticketctl.errors import UsageError
from ticketctl.plugins import Plugin


@dataclass(frozen=True)
class Form:
    """What a file of this form holds."""

    endings: tuple[str, ...]
    """Of the file's name: the usual one, and others that its readers know."""
    weights: bool = True
    """False: masks alone."""
    dense: bool = False
    """Whether a net without a mask has such a file too."""


_TORCH = (".pth", ".pt", ".ckpt")
FORMS = {
    "torch-prune": Form(_TORCH),
    "open-lth": Form(_TORCH, weights=False),
    "zeros": Form((".safetensors",), dense=True),
    "coo": Form(_TORCH),
    "npz": Form((".npz",)),
    "2:4": Form((".safetensors",)),
    "onnx": Form((".onnx",), dense=True),
    "onnx-sparse": Form((".onnx",), dense=True),
}

_FACTS = {"files": "onnx", "exact": "no", "export": "only"}
ONLY_WRITTEN = {
    "onnx": Plugin("onnx", "", "The net as an ONNX file, its pruned weights 0 (extra: onnx).", _FACTS),
    "onnx-sparse": Plugin(
        "onnx-sparse",
        "",
        "ONNX with layers that keep under a third as sparse initializers (extra: onnx).",
        {**_FACTS, "exact": "yes"},
    ),
}
"""Forms that no dialect of the same name reads."""


def with_ending(out: Path, form: str) -> Path:
    """The file's name with the form's ending, which is added where it has none: other programs go by it.

    >>> with_ending(Path("imp-0.9"), "npz").name, with_ending(Path("a.PT"), "coo").name
    ('imp-0.9.npz', 'a.PT')

    Raises:
        UsageError: it has that of another kind of file.
    """
    endings, has = FORMS[form].endings, out.suffix.lower()
    if has in endings:
        return out
    if has[1:2].isalpha():  # 0.9 is a number, and no ending
        raise UsageError(f"--out {out}: a file of {form} ends in {' or '.join(endings)}")
    return out.with_name(f"{out.name}{endings[0]}")
