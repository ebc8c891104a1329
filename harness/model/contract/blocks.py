"""Tells where the bytes of a file lie: in which block now, and in which blocks the media may look for them after a cut.

Blocks have no numbers here, since no document says which block a file gets. A block is known by who was given it first:
after `insert_range` of 4K at 0 the bytes [4K..8K) lie in the block that [0..4K) had, Block(file, op, shift=4K).
"""

from dataclasses import dataclass

from harness.model.contract.extents import Extents


@dataclass(frozen=True, slots=True)
class Block:
    """The block that byte o of a file lies in: op `made` provided it for byte o - shift of file `file`. A block is
    provided once, so two bytes with equal `file`, `made` and o - shift lie in the same place."""

    file: int
    made: int
    shift: int = 0

    def moved(self, distance: int) -> "Block":
        """The same block, seen from `distance` bytes further."""
        return Block(self.file, self.made, self.shift + distance)


Blocks = frozenset[Block]


_NONE: Blocks = frozenset()


@dataclass(frozen=True, slots=True)
class BlockHistory:
    """The blocks of one byte. `now` is the block that it lies in (one of these, where a document leaves it open, such
    as whether dedupe shares blocks). It may have left the others, but the media may still look for it there: it left
    `old` by an op on this byte, `copied` by an op that keeps its contents, such as a store to a neighbour in a shared
    block."""

    now: Blocks
    old: Blocks = _NONE
    copied: Blocks = _NONE

    def moved(self, distance: int) -> "BlockHistory":
        """The same, seen from `distance` bytes further."""
        if not distance:
            return self
        return BlockHistory(_moved(self.now, distance), _moved(self.old, distance), _moved(self.copied, distance))

    def changed(self, now: Blocks) -> "BlockHistory":
        """It lies in one of `now` from now on, by an op on it; nobody knows when the media will say so."""
        left = _NONE if now == self.now else self.now
        return BlockHistory(now, self.old | self.copied | left)

    def maybe(self, also: Blocks) -> "BlockHistory":
        """It may lie in one of `also` from now on, by an op on it."""
        return self.changed(self.now | also)

    def carried(self, now: Blocks) -> "BlockHistory":
        """It lies in one of `now` from now on, with the contents that it has."""
        left = _NONE if now == self.now else self.now
        return BlockHistory(now, self.old, self.copied | left)

    def joined(self, before: "BlockHistory") -> "BlockHistory":
        """The byte moved here; the media may still look for it where they did `before`."""
        return before.changed(self.now)

    def promised(self) -> "BlockHistory":
        """An op has promised what the media read here, so they look where it lies now."""
        return BlockHistory(self.now)

    def crashed(self) -> "BlockHistory":
        """The file system crashed: it lies where the media look for it."""
        return BlockHistory(self.now | self.old | self.copied, self.old, self.copied)

    def either(self, other: "BlockHistory") -> "BlockHistory":
        """This or the other: nobody knows whether an op took place."""
        now = self.now | other.now
        left = _NONE if self.now == other.now else now
        return BlockHistory(now, self.old | other.old | left, self.copied | other.copied)


NOWHERE = BlockHistory(_NONE)
"""The place of a byte of which nothing is said."""


def provided(file: int, made: int) -> Blocks:
    """Return the block that op `made` provides, for all bytes of the file that need one."""
    return frozenset({Block(file, made)})


def empty(file: int, made: int) -> Extents[BlockHistory]:
    """The places of a file that op `made` created."""
    return Extents.of(BlockHistory(provided(file, made)))


def _moved(blocks: Blocks, distance: int) -> Blocks:
    return frozenset(block.moved(distance) for block in blocks)
