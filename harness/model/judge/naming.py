"""Names of ops, stores and sizes in reports about one file of a Program."""

from collections.abc import Iterable, Sequence

from harness.model.contract.allowed import Anything, Known
from harness.model.contract.filestate import Span
from harness.model.program.ops import Advice, Madvise, Planted
from harness.model.program.program import Program, describe
from harness.model.units import size_text
from harness.model.wire.observation import Source, Stamp, Zero

_POISON = (Advice.HWPOISON, Advice.SOFT_OFFLINE)


class Naming:
    """Says things about file `file` by its name `path`, in the words of `program`."""

    def __init__(self, program: Program, path: str, file: int) -> None:
        self.path = path
        self._program = program
        self._id = file
        self._stores = {seq: index for index, seq in program.seqs().items()}
        self._paths = dict(enumerate(program.paths(), start=1))

    @property
    def unhealthy(self) -> bool:
        """Whether the Program makes memory fail, or has a fault planted in the hardware: that may show in any file."""
        poison = (isinstance(op, Madvise) and op.advice in _POISON for op in self._program.ops)
        return any(poison) or any(isinstance(op, Planted) for op in self._program.ops)

    def own(self, source: Source) -> bool:
        """Whether the source is a store to this file, at the place where it was stored."""
        return isinstance(source, Stamp) and (source.file, source.shift) == (self._id, 0) and source.seq in self._stores

    def of_file(self, source: Stamp) -> bool:
        """Whether the source is a store to this file, wherever it was stored."""
        return source.file == self._id and source.seq in self._stores

    def op(self, index: int | None) -> str:
        """op 9: msync m [0..4M); empty for no op."""
        return "" if index is None else f"op {index}: {describe(self._program.ops[index])}"

    def source(self, source: Source | Known) -> str:
        """zero; store 3 (op 9); store 3 (op 9) of other moved by -4K; no store; anything."""
        if isinstance(source, Zero | Anything):
            return "zero" if isinstance(source, Zero) else "anything"
        if not isinstance(source, Stamp) or source.seq not in self._stores or source.file not in self._paths:
            return "no store"
        text = f"store {source.seq} (op {self._stores[source.seq]})"
        if source.file != self._id:
            text += f" of {self._paths[source.file]}"
        if source.shift:
            text += f" moved by {'-' if source.shift < 0 else '+'}{size_text(abs(source.shift))}"
        return text

    def sources(self, sources: Iterable[Source | Known]) -> str:
        """What any of the sources says, joined by "or": zero first, then by store."""
        ordered = sorted(sources, key=lambda one: (one.seq, one.shift) if isinstance(one, Stamp) else (0, 0))
        return " or ".join(dict.fromkeys(map(self.source, ordered)))

    def sizes(self, spans: Sequence[Span]) -> str:
        """2M long; 0 to 2M or 4M long."""
        texts = (
            size_text(span.low) if span.low == span.high else f"{size_text(span.low)} to {size_text(span.high)}"
            for span in spans
        )
        return " or ".join(dict.fromkeys(texts)) + " long"

    def size(self, size: int) -> str:
        """4K long."""
        return self.sizes((Span(size, size),))
