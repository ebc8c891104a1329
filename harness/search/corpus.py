"""The corpus of a campaign: the Programs that were the first to reach a block of the kernel, for others to be made of.

A Program whose blocks are all among those of a later one is left out, so the corpus stays small.
"""

from harness.cells.screening import Screened
from harness.coverage.store import CAMPAIGN, CoverageFile
from harness.model.program.program import Program
from harness.model.wire.block import CodeBlock
from harness.search.folder import CampaignFolder


class Corpus:
    """Owns the Programs in DIR/corpus and the blocks in DIR/coverage.*, in the order in which they were found."""

    def __init__(self, folder: CampaignFolder) -> None:
        self.programs = [program for _, program in folder.corpus()]
        self._folder = folder
        self._names = [name for name, _ in folder.corpus()]
        self._blocks: list[frozenset[CodeBlock] | None] = [None] * len(self.programs)
        """The blocks that each has reached; None of those that an earlier session found."""
        self._files: dict[str, CoverageFile] = {}
        self._count = max((int(name[:6]) for name in self._names), default=0)

    def take(self, program: Program, look: Screened) -> bool:
        """Add a Program if it has reached a block that no other had; say whether it did."""
        if look.blocks is None or look.code is None:
            return False
        digest = look.result.kernel_digest
        if digest not in self._files:
            self._files[digest] = CoverageFile(self._folder.directory, look.result.kernel, digest)
        self._files[digest].describe(look.code)
        if not self._files[digest].add(CAMPAIGN, look.blocks):
            return False
        self._leave_out(look.blocks)
        self._count += 1
        self._names.append(self._folder.add_to_corpus(self._count, program))
        self.programs.append(program)
        self._blocks.append(look.blocks)
        return True

    def _leave_out(self, blocks: frozenset[CodeBlock]) -> None:
        """Leave out the Programs that have reached none but these blocks."""
        for index in reversed(range(len(self.programs))):
            known = self._blocks[index]
            if known is not None and known <= blocks:
                self._folder.leave_out(self._names[index])
                del self.programs[index], self._names[index], self._blocks[index]
