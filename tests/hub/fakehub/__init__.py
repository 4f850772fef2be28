"""A small Hub on the loopback, for the real huggingface_hub client, the JavaScript client and ticketctl.

    with FakeHub(folder) as hub:                    # threads and sockets end with the block
        hub.put("ada/ticket", {"ticket.json": b"{}"}, tag="v1", private=False)
        api = HfApi(endpoint=hub.url, token=hub.token)          # in this process
        subprocess.run(command, env=hub.env(home))              # or in another: HF_ENDPOINT is read at import

Two origins, as on the real one: `hub.url`, and `hub.store_url` for large files (signed addresses, no tokens).

* accounts: `hub.token` (ada; writes under ada and lab), `hub.reader` (ada, read only), `hub.stranger` (bob);
  `hub.tokens["hf_..."] = Account("eve")` makes more.
* `hub.repos["org/name"]`: a Repo: `.head` (Commit: sha, parent, title, files of Blob), `.files` (name ->
  bytes of main), `.commits`, `.branches`, `.tags`, `.private`, `.gated`, `.granted`, `.downloads`, `.card`,
  `.at(revision)`.
* `hub.put(repo, files, private=True, gated=False, tag=None, whole=False, lfs=None)` plants; returns the Commit.
  `hub.create(repo)`, `hub.rename(old, new)` (the old name answers 307), `hub.page = 2` (rows per page).
* `hub.requests`: Request (origin, method, path, query, headers, body, body_size, received, sent, status);
  `hub.asked("POST", "/commit/")` as lines, `hub.traffic()` bytes per origin, `hub.leaks()` tokens at the second origin.
  By Xet nothing travels through either: `hub.xet.size()` are the bytes in its store.
* `hub.fault(kind, path_regex, method=, origin=, skip=, times=, ...)`, `hub.mend()`; kinds: a status of faults.STATUSES
  ("401", "403", "404", "gated", "revision", "entry", "stale", "429" with retry_after=, "500", "503", ...), "slow"
  (seconds), "drip" (piece, every), "drop" (after), "wrong", "longer", "shorter", "lying" (length), "headers" (X_Name=),
  "edit" (how), "body" (data), "endless", "raw" (data), "redirect" (to, status), "between" (do).
* `with hub.offline():` nobody listens. `fakehub.hostile.CASES`: what a malicious Hub may do, each with its outcome.

Not there: pull requests, multipart LFS, Spaces, discussions.
"""

from tests.hub.fakehub.hub import FakeHub
from tests.hub.fakehub.repos import Account, Blob, Commit, Repo
from tests.hub.fakehub.wire import Reply, Request

__all__ = ["Account", "Blob", "Commit", "FakeHub", "Reply", "Repo", "Request"]
