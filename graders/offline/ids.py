"""Ids: has this id come before? Exactly, for files of any size, in at most some 250 MB of memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any

from graders.rows import row_id

if TYPE_CHECKING:
    from graders.offline.sources import Raw, Source

RECENT = 2**16  # hashes in a set, before they are packed
PACKED = 2**23  # hashes in an array, before they go to disk
SHARES = 64  # parts in which what went to disk is compared


class Ids:
    """Ids seen so far, as 64-bit hashes: a set of the newest, a sorted array of the others, the rest on disk.

    A hash seen before is looked up in the rows that `taken` gives again, by default all, before it is called a
    duplicate, where the data can be read more than once.
    """

    def __init__(self, source: Source, taken: Callable[[], Iterator[Raw]] | None = None) -> None:
        self.source = source
        self.taken = taken or source.raws
        self.recent: set[int] = set()
        self.packed: Any = None
        self.on_disk: list[Any] = []

    def add(self, name: str, place: str) -> None:
        """Raises ValueError with both places for an id that came before."""
        key = hash(name)
        if (key in self.recent or self._is_packed(key)) and (first := self._first_place(name)) != place:
            before = f"that of {first} already" if first else "that of a row before it"
            raise ValueError(f"{place}: id {name!r} is {before}; give each row an id of its own")
        self.recent.add(key)
        if len(self.recent) >= RECENT:
            self._pack()

    def check(self) -> None:
        """At the end: raises ValueError where an id of the rows on disk came again later."""
        if not self.on_disk:
            return
        import numpy as np

        self._pack()
        parts = [*self.on_disk, self.packed]
        bounds = [-(2**63) + number * (2**64 // SHARES) for number in range(1, SHARES)]
        starts = [[0, *(int(np.searchsorted(part, bound)) for bound in bounds), len(part)] for part in parts]
        for share in range(SHARES):
            slices = [part[at[share] : at[share + 1]] for part, at in zip(parts, starts, strict=True)]
            together = np.sort(np.concatenate(slices))
            again = together[1:][together[1:] == together[:-1]]
            if len(again):
                self._report({int(key) for key in again})

    def _is_packed(self, key: int) -> bool:
        if self.packed is None:
            return False
        at = int(self.packed.searchsorted(key))
        return at < len(self.packed) and int(self.packed[at]) == key

    def _pack(self) -> None:
        import numpy as np

        newest = np.fromiter(self.recent, dtype=np.int64, count=len(self.recent))
        self.recent = set()
        together = newest if self.packed is None else np.concatenate([self.packed, newest])
        self.packed = np.sort(together, kind="stable")
        if len(self.packed) >= PACKED:
            with TemporaryFile() as file:  # the map keeps it
                self.packed.tofile(file)
                file.flush()
                self.on_disk.append(np.memmap(file, dtype=np.int64, mode="r"))
            self.packed = None

    def _first_place(self, name: str) -> str:
        if not self.source.again:
            return ""
        rows = ((raw, self.source.row(raw)) for raw in self.taken())
        return next((self.source.place(raw) for raw, row in rows if row_id(raw.number, row) == name), "")

    def _report(self, keys: set[int]) -> None:
        if not self.source.again:
            raise ValueError(f"{self.source.name} two rows have the same id; give each row an id of its own")
        places: dict[str, str] = {}
        for raw in self.taken():
            name = row_id(raw.number, self.source.row(raw))
            if hash(name) in keys:
                place = self.source.place(raw)
                if name in places:
                    raise ValueError(f"{place}: id {name!r} is that of {places[name]} already; give each its own")
                places[name] = place
