"""The other half of the hostile Hub: bytes, headers, redirects, times, and the Hub changing under a pull."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

from tests.hub.fakehub.hostile import BAD, DONE, ESC, FILE, HUB, INFO, REPO, TREE, Case, Stage
from tests.hub.fakehub.repos import Blob

LARGE, MANIFEST = "^/blob/", "/resolve/.*/ticket[.]json"
EITHER = (*DONE, *HUB)


def contents() -> Iterator[Case]:
    """Other bytes than were listed."""
    for name, path in {
        "a large file": LARGE,
        "the manifest": MANIFEST,
        "every file": f"{FILE}|^/blob/",
    }.items():
        yield Case(f"{name} has other bytes of the same length", lambda on, p=path: on.wrong(p), BAD)
        yield Case(f"{name} is longer", lambda on, p=path: on.longer(p, by=1000), (*BAD, *HUB))
        yield Case(f"{name} is shorter", lambda on, p=path: on.shorter(p), (*BAD, *HUB))
        yield Case(f"{name} never ends", lambda on, p=path: on.endless(p), (*BAD, *HUB))
        yield Case(f"{name} promises 2^40 bytes", lambda on, p=path: on.lying(p, length=1 << 40), EITHER)
        yield Case(f"{name} promises 3 bytes", lambda on, p=path: on.lying(p, length=3), (*BAD, *HUB))
        yield Case(f"{name} promises nothing", lambda on, p=path: on.lying(p, length=0), EITHER)
        yield Case(f"{name} breaks off each time", lambda on, p=path: on.drop(p, after=5), EITHER)
        yield Case(f"{name} breaks off at once", lambda on, p=path: on.drop(p), HUB)
    yield Case("the rest comes from elsewhere in the file", shifted, (*BAD, *HUB))
    yield Case("the rest comes from elsewhere in 3 MB", shifted_far, (*BAD, *HUB))
    yield Case(
        "a part instead of the whole", lambda on: on.headers(LARGE, Content_Range="bytes 5-9/10"), EITHER
    )
    yield Case("unasked for, a 206", lambda on: partly(on), (*BAD, *HUB))


def shifted(on: Stage) -> None:
    """It ends early once, and the rest says that it is another part."""
    on.lying(LARGE, length=16, times=1)
    on.headers(LARGE, skip=1, Content_Range="bytes 0-9/10")


def shifted_far(on: Stage) -> None:
    """The same with 3 MB, where each try brings much, and each other one begins anew."""
    data = bytes(3_000_000)
    on.hub.put(REPO, {"provenance.json": data})
    path = f"^/blob/{hashlib.sha256(data).hexdigest()}"
    on.lying(path, length=16, times=1)
    on.headers(path, skip=1, Content_Range="bytes 0-9/10")


def partly(on: Stage) -> None:
    """Half of each file, as if it had been asked for."""
    on.raw(
        LARGE,
        data=b"HTTP/1.1 206 Partial\r\nContent-Length: 4\r\nContent-Range: bytes 9-12/99\r\n\r\nevil",
    )


def headers() -> Iterator[Case]:
    """Names that a client might use as paths, and answers that are no answers."""
    for header in ("ETag", "X_Linked_Etag"):
        for name, said in {
            "up": '"../../../../x"',
            "absolute": '"/tmp/x"',
            "long": f'"{"a" * 5000}"',
            "empty": "",
        }.items():
            yield Case(
                f"{header} {name}".replace("_", "-"),
                lambda on, key=header, text=said: on.headers(FILE, **{key: text}),
                EITHER,
            )
    for name, said in {"missing": None, "up": "../../x", "of another commit": "c" * 40}.items():
        yield Case(
            f"X-Repo-Commit {name}", lambda on, text=said: on.headers(FILE, X_Repo_Commit=text), EITHER
        )
    yield Case("a file's name in Content-Disposition", disposed, EITHER)
    yield Case(
        "a storage of its own",
        lambda on: on.headers(FILE, X_Xet_Cas_Url="local:///tmp/x", X_Xet_Hash="a" * 64),
        EITHER,
    )
    yield Case("a token is to be brought elsewhere", lambda on: route(on), EITHER)
    yield Case(
        "100,000 headers",
        lambda on: on.raw(INFO, data=b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 100_000 + b"\r\n"),
        HUB,
    )
    yield Case(
        "a header without end", lambda on: on.raw(INFO, data=b"HTTP/1.1 200 OK\r\nX: " + b"y" * 10**7), HUB
    )
    for name, data in {
        "no HTTP": b"SSH-2.0-x\r\n",
        "HTTP/0.9": b"<html>hello",
        "nothing": b"",
        "status 999": b"HTTP/1.1 999 x\r\n\r\n",
        "only 100": b"HTTP/1.1 100 Continue\r\n\r\n" * 1000,
        "NUL": b"\0" * 1000,
    }.items():
        yield Case(f"the answer is {name}", lambda on, d=data: on.raw(INFO, data=d), HUB)


def disposed(on: Stage) -> None:
    """A name to save it under."""
    on.headers(FILE, Content_Disposition='attachment; filename="../../../x"')


def route(on: Stage) -> None:
    """Where a token for Xet is to be had: elsewhere."""
    to = f"{on.other.url}/api/models/{REPO}/xet-read-token/main"
    on.headers(FILE, X_Xet_Hash="a" * 64, X_Xet_Refresh_Route=to, Link=f'<{to}>; rel="xet-auth"')


def redirects() -> Iterator[Case]:
    """Elsewhere."""
    for where, path in {"info": INFO, "tree": TREE, "files": FILE}.items():
        yield Case(
            f"{where} at another origin",
            lambda on, p=path: on.redirect(p, to=on.other.url + "{path}", status=302),
            EITHER,
        )
        yield Case(f"{where} in a circle", lambda on, p=path: on.redirect(p, to="{path}"), HUB)
        yield Case(f"{where} between two", lambda on, p=path: pair(on, p), HUB)
        for name in TARGETS if where == "files" else ("a file", "plain http away", "a closed port"):
            yield Case(f"{where} at {name}", lambda on, p=path, to=TARGETS[name]: on.redirect(p, to=to), HUB)
    yield Case("the token in the address of another origin", lambda on: tokened(on), HUB)
    yield Case("everything at another origin", lambda on: on.redirect("", to=on.other.url + "{path}"), EITHER)
    yield Case("another origin with other bytes", elsewhere, (*BAD, *HUB))


TARGETS = {
    "a file": "file:///etc/passwd",
    "ftp": "ftp://127.0.0.1/x",
    "nowhere": "http://",
    "a folder": "local:///tmp",
    "plain http away": "http://192.0.2.1/{path}",
    "a closed port": "https://127.0.0.1:9/x",
    "data": "data:text/plain,{}",
    "a script": "javascript:alert(1)",
    "escape": f"http://{ESC}/",
    "two slashes": "//192.0.2.1/x",
    "port 99999": "http://127.0.0.1:99999/",
}


def pair(on: Stage, path: str) -> None:
    """To the other origin and back."""
    on.redirect(path, to=on.other.url + "{path}")
    on.other.fault("redirect", path, to=on.hub.url + "{path}")


def tokened(on: Stage) -> None:
    """The Hub knows the token; nobody else is to be told."""
    on.redirect(FILE, to=on.other.url + "{path}?token=" + on.hub.token)


def elsewhere(on: Stage) -> None:
    """Files come from an origin where somebody else has put others."""
    on.other.put(REPO, {name: bytes(byte ^ 1 for byte in data) for name, data in on.files.items()})
    on.redirect(FILE, to=on.other.url + f"/{REPO}/resolve/main/mask.safetensors")


def refusals() -> Iterator[Case]:
    """Every status, at every step."""
    for where, path in {"info": INFO, "tree": TREE, "files": FILE, "large files": LARGE}.items():
        every = ("400", "401", "bad token", "403", "404", "gated", "disabled", "429", "500", "503")
        for kind in every if where == "info" else ("403", "404", "503"):
            yield Case(f"{kind} of {where}", lambda on, k=kind, p=path: getattr(on, k)(p), HUB)
    yield Case("patience for a day", lambda on: getattr(on, "429")(INFO, retry_after=86400), HUB)
    yield Case("patience for nonsense", lambda on: getattr(on, "429")(INFO, retry_after="-1e9 years"), HUB)
    yield Case("a busy moment", lambda on: getattr(on, "503")(INFO, times=1), DONE)
    yield Case("a refusal that writes on the screen", lambda on: screen(on), HUB)
    yield Case("a refusal without end", lambda on: on.endless(INFO, status=404), HUB)
    yield Case(
        "a refusal that tells the token",
        lambda on: getattr(on, "403")(INFO, message=f"no, {on.hub.token}"),
        HUB,
    )


def screen(on: Stage) -> None:
    """Control characters in the error's body, and in a header (as latin-1 sees them)."""
    getattr(on, "403")(INFO, message=ESC.replace("\n", " "))


def slowness() -> Iterator[Case]:
    """Time, with a client of little patience."""
    for where, path in {"info": INFO, "tree": TREE, "files": f"{FILE}|^/blob/"}.items():
        yield Case(f"{where}: not a word", lambda on, p=path: on.slow(p, seconds=60), HUB, patience=1.0)
        yield Case(
            f"{where}: a byte at a time",
            lambda on, p=path: on.drip(p, piece=1, every=0.05),
            HUB,
            patience=1.0,
        )


def changes() -> Iterator[Case]:
    """Somebody else is at work meanwhile; what was asked for is one commit."""

    def between(path: str, do: Any, **more: Any) -> Any:
        return lambda on: on.between(path, do=lambda: do(on), times=1, **more)

    yield Case("the branch moves before the tree", between(TREE, moved), DONE)
    yield Case("the branch moves before the files", between(FILE, moved), DONE)
    yield Case("the branch moves between files", between(FILE, moved, skip=2), DONE)
    yield Case("the tag moves", between(TREE, retagged), DONE, f"{REPO}@v1")
    yield Case(
        "the branch goes",
        between(TREE, lambda on: on.hub.repos[REPO].branches.update(main="")),
        (*DONE, *HUB),
    )
    yield Case("the repository goes", between(FILE, lambda on: on.hub.repos.pop(REPO)), HUB)
    yield Case("the repository becomes private", between(FILE, hidden), HUB)
    yield Case("a file goes", between(FILE, emptied), BAD)


def moved(on: Stage) -> None:
    """A new commit with another mask under the same name."""
    on.hub.put(REPO, {"mask.safetensors": b"other", "ticket.json": b"{}"})


def retagged(on: Stage) -> None:
    """The tag points at another commit now."""
    moved(on)
    on.hub.repos[REPO].tags["v1"] = on.hub.repos[REPO].branches["main"]


def hidden(on: Stage) -> None:
    """Of somebody else now."""
    repo = on.hub.repos[REPO]
    repo.private, repo.id = True, "eve/first"


def emptied(on: Stage) -> None:
    """History is rewritten: the same commit, without its files."""
    for commit in on.hub.repos[REPO].commits.values():
        if isinstance(commit.files, dict):
            commit.files.pop("mask.safetensors", None)
            commit.files["x"] = Blob(b"")
