"""Base: where the frozen weights beneath an adapter lie. Checkpoints refer to them and do not hold them."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

NAME = "base.json"


@dataclass(frozen=True, slots=True)
class Base:
    """A folder, whose files' hashes are kept, or a hub id with the revision that was found there."""

    source: str
    revision: str | None = None
    files: dict[str, str] = field(default_factory=dict)  # SHA-256 of a folder's weights and config

    @classmethod
    def of(cls, source: str) -> Base:
        folder = Path(source)
        return cls(str(folder.resolve()), files=_hashes(folder)) if folder.is_dir() else cls(source)

    def write(self, folder: Path) -> None:
        """Beside an adapter in `folder`. A base of the same run is named relative to it: a run can be moved."""
        ours = Path(self.source).parent == folder.resolve().parent
        found = replace(self, source=os.path.relpath(self.source, folder.resolve())) if ours else self
        (folder / NAME).write_text(json.dumps(asdict(found), indent=2), encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> Base:
        """The base of the adapter in `folder`: ours, or the one that peft's own config names.

        Raises FileNotFoundError or ValueError, naming both folders, where it is gone or has changed.
        """
        if not (folder / NAME).is_file():
            config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
            if not config.get("base_model_name_or_path"):
                raise ValueError(f"adapter {str(folder)!r} names no base model (base_model_name_or_path)")
            return cls(config["base_model_name_or_path"], config.get("revision"))
        base = cls(**json.loads((folder / NAME).read_text(encoding="utf-8")))
        if not base.files:
            return base
        beneath = (folder / base.source).resolve()
        if not beneath.is_dir():
            raise FileNotFoundError(f"adapter {str(folder)!r} was trained on {str(beneath)!r}, now gone; restore it")
        if _hashes(beneath) != base.files:
            raise ValueError(
                f"adapter {str(folder)!r} was trained on {str(beneath)!r}, whose files have changed since; restore them"
            )
        return replace(base, source=str(beneath))


def _hashes(folder: Path) -> dict[str, str]:
    found = {}
    for file in sorted(folder.iterdir()):
        if file.name == "config.json" or file.suffix in (".safetensors", ".bin"):
            with file.open("rb") as data:
                found[file.name] = hashlib.file_digest(data, "sha256").hexdigest()
    return found
