"""A small Hub on this machine: what ``huggingface_hub`` asks of one for models, over HTTP.

Routes and headers are those that the client (1.33 and 2.4) uses; https://huggingface.co/docs/hub/api describes them.
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from http.server import ThreadingHTTPServer

from hub_http import Handler, Hub, Refused
from hub_store import Blob, Repo, check_card

LARGE = (".safetensors", ".jpg", ".png", ".bin")
"""Endings that the Hub keeps outside git."""


def whoami(http: Handler) -> None:
    if http.user is None:
        raise Refused(401)
    http.answer({"type": "user", "name": http.user, "orgs": [], "auth": {"type": "access_token"}})


def create(http: Handler, body: bytes) -> None:
    asked = json.loads(body)
    if http.user is None:
        raise Refused(401, {"X-Error-Message": "Invalid username or password."})
    if asked.get("organization") not in (None, http.user):
        raise Refused(403, {"X-Error-Message": "You don't have the rights to create a model under this namespace"})
    name = f"{http.user}/{asked['name']}"
    url = f"{http.hub.url}/{name}"
    if name in http.hub.repos:
        raise Refused(409, {"X-Error-Message": "You already created this model repo"}, {"url": url, "error": "exists"})
    private = asked.get("private") or asked.get("visibility") == "private"
    http.hub.repos[name] = Repo(name, private=bool(private))
    http.answer({"url": url, "name": name, "id": "0"})


def info(http: Handler, name: str, _: str | None, revision: str | None) -> None:
    repo = http.hub.repo(name, http.user)
    sha, files = http.hub.files(repo, revision or "main", http.user)
    siblings = []
    for path, blob in files.items():
        known = blob.info()
        lfs = {"lfs": {**known["lfs"], "sha256": known["lfs"]["oid"]}} if blob.large else {}
        siblings.append({"rfilename": path, "size": known["size"], "blobId": known["oid"], **lfs})
    gated = "manual" if repo.gated else False
    http.answer({"id": name, "sha": sha, "private": repo.private, "gated": gated, "siblings": siblings})


def tree(http: Handler, name: str, revision: str) -> None:
    _, files = http.hub.files(http.hub.repo(name, http.user), revision, http.user)
    http.answer([{"type": "file", "path": path, **blob.info()} for path, blob in files.items()])


def refs(http: Handler, name: str) -> None:
    repo = http.hub.repo(name, http.user)
    kinds = {"branches": ("heads", repo.branches), "tags": ("tags", repo.tags)}
    told = {
        kind: [{"name": name, "ref": f"refs/{place}/{name}", "targetCommit": sha} for name, sha in known.items()]
        for kind, (place, known) in kinds.items()
    }
    http.answer({**told, "converts": []})


def branch(http: Handler, name: str, revision: str, body: bytes) -> None:
    repo = http.writable(name)
    if revision in repo.branches:
        raise Refused(409, {"X-Error-Message": "Reference already exists"})
    repo.branches[revision] = repo.branches["main"]
    http.answer({})


def preupload(http: Handler, name: str, revision: str, body: bytes) -> None:
    _, present = http.hub.files(http.writable(name), revision, http.user)
    told = []
    for file in json.loads(body)["files"]:
        mode = "lfs" if file["path"].endswith(LARGE) else "regular"
        there = present.get(file["path"])
        told.append({"path": file["path"], "uploadMode": mode, "shouldIgnore": False,
                     "oid": None if there is None else there.etag})  # fmt: skip
    http.answer({"files": told})


def lfs_batch(http: Handler, name: str, body: bytes) -> None:
    http.writable(name)
    told = []
    for entry in json.loads(body)["objects"]:
        where = f"{http.hub.url}/lfs/{entry['oid']}"
        actions = {"actions": {"upload": {"href": where}, "verify": {"href": f"{where}/verify"}}}
        told.append({**entry, **({} if entry["oid"] in http.hub.large else actions)})
    http.answer({"transfer": "basic", "objects": told})


def lfs_put(http: Handler, oid: str, body: bytes) -> None:
    if Blob(body, True).sha256 != oid:
        raise Refused(400)
    http.hub.large[oid] = body
    http.answer({})


def lfs_verify(http: Handler, oid: str, body: bytes) -> None:
    if len(http.hub.large.get(oid, b"")) != json.loads(body)["size"]:
        raise Refused(404)
    http.answer({})


def lfs_get(http: Handler, oid: str) -> None:
    send_file(http, http.hub.large[oid], {"ETag": f'"{oid}"'})


def commit(http: Handler, name: str, revision: str, body: bytes) -> None:
    repo = http.writable(name)
    added, deleted = {}, []
    for line in body.splitlines():
        item = json.loads(line)
        value = item["value"]
        if item["key"] == "file":
            added[value["path"]] = Blob(base64.b64decode(value["content"]), False)
        elif item["key"] == "lfsFile":
            added[value["path"]] = Blob(http.hub.large[value["oid"]], True)
        elif item["key"] == "deletedFile":
            deleted.append(value["path"])
    if revision not in repo.branches:
        raise Refused(404, {"X-Error-Code": "RevisionNotFound"})
    sha = repo.commit(revision, added, deleted)
    http.answer({"commitUrl": f"{http.hub.url}/{name}/commit/{sha}", "commitOid": sha, "success": True})


def resolve(http: Handler, name: str, revision: str, path: str) -> None:
    repo = http.hub.repo(name, http.user)
    if repo.gated:
        told = {"X-Error-Code": "GatedRepo", "X-Error-Message": "Access is restricted"}
        raise Refused(403 if http.user else 401, told)
    sha, files = http.hub.files(repo, revision, http.user)
    if path not in files:
        raise Refused(404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": sha})
    blob = files[path]
    headers = {"X-Repo-Commit": sha, "ETag": f'"{blob.etag}"'}
    if blob.large:
        http.hub.large.setdefault(blob.sha256, blob.data)
        linked = {"X-Linked-Etag": f'"{blob.sha256}"', "X-Linked-Size": str(len(blob.data))}
        http.answer(b"", 302, {**headers, **linked, "Location": f"{http.hub.store}/lfs/{blob.sha256}"})
    else:
        send_file(http, blob.data, headers)


def send_file(http: Handler, data: bytes, headers: dict[str, str]) -> None:
    """Whole, or from where a ``Range`` says."""
    start = re.fullmatch(r"bytes=(\d+)-", http.headers.get("Range") or "")
    if start is None:
        http.answer(data, 200, headers)
        return
    first = int(start[1])
    span = f"bytes {first}-{len(data) - 1}/{len(data)}"
    http.answer(data[first:], 206, {**headers, "Content-Range": span})


def validate(http: Handler, body: bytes) -> None:
    errors, warnings = check_card(json.loads(body)["content"])
    told = {"errors": [{"message": text} for text in errors], "warnings": [{"message": text} for text in warnings]}
    http.answer(told, 400 if errors else 200)


_ID = r"([\w.-]+/[\w.-]+)"
ROUTES: list[tuple[str, str, Callable[..., None]]] = [
    ("GET", "/api/whoami-v2", whoami),
    ("POST", "/api/repos/create", create),
    ("POST", "/api/validate-yaml", validate),
    ("GET", f"/api/models/{_ID}(/revision/(.+))?", info),
    ("GET", f"/api/models/{_ID}/tree/(.+)", tree),
    ("GET", f"/api/models/{_ID}/refs", refs),
    ("POST", f"/api/models/{_ID}/branch/(.+)", branch),
    ("POST", f"/api/models/{_ID}/preupload/(.+)", preupload),
    ("POST", f"/api/models/{_ID}/commit/(.+)", commit),
    ("POST", f"/{_ID}\\.git/info/lfs/objects/batch", lfs_batch),
    ("PUT", r"/lfs/(\w+)", lfs_put),
    ("POST", r"/lfs/(\w+)/verify", lfs_verify),
    ("GET", r"/lfs/(\w+)", lfs_get),
    ("GET", f"/{_ID}/resolve/([^/]+)/(.+)", resolve),
]


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is no news: some tests make it."""


@contextlib.contextmanager
def serve() -> Iterator[Hub]:
    """A Hub at ``hub.url`` for as long as the block lasts."""
    hub = Hub()
    server = _Server(("127.0.0.1", 0), type("Bound", (Handler,), {"hub": hub, "routes": ROUTES}))
    hub.url = f"http://127.0.0.1:{server.server_port}"
    hub.store = f"http://localhost:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()
