"""What a Hub keeps: users, repositories, commits, large files; and what it finds wrong with a card's metadata."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path

import yaml

LICENSES = {
    "apache-2.0", "mit", "bsd-2-clause", "bsd-3-clause", "cc0-1.0", "cc-by-4.0", "cc-by-nc-4.0", "cc-by-sa-4.0",
    "cc-by-nc-sa-4.0", "gpl-3.0", "openrail", "unknown", "other",
}  # fmt: skip
"""Part of https://huggingface.co/docs/hub/repositories-licenses."""
PIPELINE_TAGS = {"keypoint-detection", "image-classification", "object-detection", "text-generation", "other"}
RELATIONS = {"adapter", "finetune", "merge", "quantized"}
MODEL_ID = re.compile(r"[\w.-]{1,96}(/[\w.-]{1,96})?")


@dataclass(frozen=True)
class Blob:
    """A file of a commit; a large one is known by its sha256, another by its git sha1."""

    data: bytes
    large: bool

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    @property
    def git_oid(self) -> str:
        return git_oid(self.pointer if self.large else self.data)

    @property
    def pointer(self) -> bytes:
        head = "version https://git-lfs.github.com/spec/v1"
        return f"{head}\noid sha256:{self.sha256}\nsize {len(self.data)}\n".encode()

    @property
    def etag(self) -> str:
        return self.sha256 if self.large else self.git_oid

    def info(self) -> dict:
        """As the Hub tells it: ``oid``, ``size`` and, of large files, ``lfs``."""
        lfs = {"lfs": {"oid": self.sha256, "size": len(self.data), "pointerSize": len(self.pointer)}}
        return {"oid": self.git_oid, "size": len(self.data), **(lfs if self.large else {})}


def git_oid(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


@dataclass
class Repo:
    """Branches and tags to commits, commits to files."""

    name: str
    private: bool = False
    gated: bool = False
    commits: dict[str, dict[str, Blob]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.branches["main"] = self._add({".gitattributes": Blob(b"*.safetensors filter=lfs\n", False)})

    def _add(self, files: dict[str, Blob]) -> str:
        stamp = f"{self.name} {len(self.commits)} {sorted((n, b.git_oid) for n, b in files.items())}"
        sha = hashlib.sha1(stamp.encode()).hexdigest()
        self.commits[sha] = files
        return sha

    def find(self, revision: str) -> str | None:
        """The commit that a branch, tag or commit id stands for."""
        named = {**self.tags, **self.branches}.get(revision)
        return named or (revision if revision in self.commits else None)

    def files(self, revision: str = "main") -> dict[str, Blob]:
        return self.commits[self.find(revision)]

    def commit(self, branch: str, added: dict[str, Blob], deleted: list[str]) -> str:
        files = {**self.files(branch), **added}
        for name in deleted:
            del files[name]
        self.branches[branch] = self._add(files)
        return self.branches[branch]


def check_card(content: str) -> tuple[list[str], list[str]]:
    """(errors, warnings) about a card's metadata, by the rules of https://huggingface.co/docs/hub/model-cards."""
    match = re.match(r"---\r?\n(.*?)\r?\n---(\r?\n|$)", content, re.S)
    if match is None:
        return [], ["empty or missing yaml metadata in repo card"]
    try:
        data = yaml.safe_load(match[1])
    except yaml.YAMLError as error:
        return [f"bad YAML: {error}"], []
    if not isinstance(data, dict):
        return ["metadata must be a table"], []
    checks = {
        "license": data.get("license") in LICENSES,
        "pipeline_tag": data.get("pipeline_tag") in PIPELINE_TAGS,
        "library_name": isinstance(data.get("library_name"), str),
        "tags": _are_words(data.get("tags")),
        "base_model": _is_model(data.get("base_model")),
        "base_model_relation": data.get("base_model_relation") in RELATIONS,
        "language": isinstance(data.get("language"), str | list),
        "datasets": _are_words(data.get("datasets")),
    }
    wrong = [name for name, fine in checks.items() if name in data and not fine]
    errors = [f'"{name}" must be valid, not {data[name]!r}' for name in wrong]
    errors += [f'"{name}" may not be null' for name, value in data.items() if value is None]
    errors += _check_index(data["model-index"]) if "model-index" in data else []
    return errors, [] if "license" in data else ["no license in the card's metadata"]


def _are_words(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(word, str) and word for word in value)


def _is_model(value: object) -> bool:
    several = value if isinstance(value, list) else [value]
    return bool(several) and all(isinstance(one, str) and MODEL_ID.fullmatch(one) for one in several)


def _check_index(index: object) -> list[str]:
    """The shape of https://github.com/huggingface/hub-docs/blob/main/modelcard.md, ``model-index``."""
    try:
        for model in index:
            good = bool(model["name"]) and isinstance(model["name"], str)
            for result in model["results"]:
                good &= isinstance(result["task"]["type"], str) and isinstance(result["dataset"]["name"], str)
                good &= isinstance(result["dataset"]["type"], str) and len(result["metrics"]) > 0
                for metric in result["metrics"]:
                    good &= isinstance(metric["type"], str) and isinstance(metric["value"], int | float | str)
            if not good:
                return ['"model-index" with a field of the wrong kind']
    except (KeyError, TypeError) as error:
        return [f'"model-index" without {error}']
    return []


def put(hub: object, name: str, folder: Path, branch: str = "main", **options: bool) -> str:
    """Puts a folder into a repository without the client; returns the commit."""
    repo = hub.repos.setdefault(name, Repo(name, **options))
    large = lambda file: file.suffix in (".safetensors", ".jpg", ".bin")  # noqa: E731
    files = {file.name: Blob(file.read_bytes(), large(file)) for file in sorted(folder.iterdir())}
    repo.branches.setdefault(branch, repo.branches["main"])
    return repo.commit(branch, files, [])
