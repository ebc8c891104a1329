"""Puts a reproducer together: what stands before the statements of the ops, and what ends main()."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from harness.model.program import ops
from harness.model.units import PAGE, PMD
from harness.repro import seldom
from harness.repro.helpers import HEADERS, chosen
from harness.repro.naming import quoted
from harness.repro.promised import Traceable, shifted
from harness.repro.scene import Scene

_INSTANCE = "/sys/kernel/tracing/instances/daxrepro"
_EVENT = "fs_dax/dax_writeback_one"
_FAULTS = ("fs_dax/dax_pte_fault_done", "fs_dax/dax_pmd_fault_done")
_TRACE_FAULTS = """\
		p = strstr(line, "_fault_done: ");
		if (p && (strstr(p, "NOPAGE") || strstr(p, "NEEDDSYNC") ||
				strstr(p, "DONE_COW"))) {
			page = strtoul(strstr(p, "address ") + 8, NULL, 16);
			mapped[page >> 21 & 0xffff] =
				strstr(line, "dax_pmd_fault") ? 2 : 1;
		}
"""
_DAX = """\
	if (p != MAP_FAILED && flags != MAP_PRIVATE &&
		!(st.stx_attributes & STATX_ATTR_DAX))
		errx(77, "no DAX: cannot tell");
	ino[i] = st.stx_ino;
"""


@dataclass(frozen=True, slots=True)
class Emitted:
    """The statements of the ops outside of lanes, the functions of lanes, and the helpers and headers that all need."""

    body: list[str] = field(default_factory=list)
    functions: list[str] = field(default_factory=list)
    helpers: set[str] = field(default_factory=set)
    headers: set[str] = field(default_factory=set)


def around(scene: Scene, emitted: Emitted, trace: Traceable, told: Sequence[str]) -> Iterator[str]:
    """Yield all lines below the comment at the top; `told` is what to compare after a cut."""
    texts = chosen(seldom.TABLE, emitted.helpers)
    headers = {*HEADERS, *emitted.headers, *(header for one in texts for header in one.headers)}
    yield "#define _GNU_SOURCE"
    yield from (f"#include <{header}>" for header in sorted(headers))
    yield ""
    yield from _declared(scene, emitted, trace)
    for one in texts:
        text = one.text.replace("@faults@", _TRACE_FAULTS if "expect_mapped" in emitted.helpers else "")
        yield from text.replace("@dax@", _DAX if scene.traced else "").splitlines()
        yield ""
    yield from emitted.functions
    yield from _main(scene, emitted, told, seldom.TABLE["mount"] in texts)


def _declared(scene: Scene, emitted: Emitted, trace: Traceable) -> Iterator[str]:
    status = "lost ? 1 : 77" if scene.traced else "77"
    yield f'#define CHECK(x) do {{ if (!(x)) err({status}, "%s", #x); }} while (0)'
    yield "#define K 1024L"
    yield "#define M (K * K)"
    if scene.traced:
        yield f'#define TRACE "{_INSTANCE}/"'
        yield f"#define FILES {len(scene.program.paths())}"
        yield f"#define PAGES {_pages(scene, trace)}"
    yield ""
    if scene.traced:
        yield "static unsigned long ino[FILES];"
        yield "static char dirty[FILES][PAGES];"
        yield "static int marker, lost, promised;"
        yield "static FILE *events;"
    if "expect_mapped" in emitted.helpers:
        yield "static char mapped[1 << 16];"
    if scene.names.maps:
        yield f"static struct map {{ char *at; long off, len; int i; }} {', '.join(scene.names.maps.values())};"
    yield f"static int {', '.join(('root', *scene.names.fds.values()))};"
    yield ""


def _pages(scene: Scene, trace: Traceable) -> int:
    """The pages of a file that may be stored or judged, wherever inserts move them."""
    ends = [facts.offset + facts.length for facts in scene.names.facts.values()]
    ends += [end * PAGE for one in trace.promises for _, end in one.pages]
    moved = sum(max(far, 0) for op in scene.program.ops for _, _, far in shifted(op))
    return -(-(max(ends) + moved) // PMD) * (PMD // PAGE)


def _main(scene: Scene, emitted: Emitted, told: Sequence[str], mounts: bool) -> Iterator[str]:
    yield "int main(int argc, char **argv)"
    yield "{"
    if mounts:
        yield "\tCHECK(argc == 2);"
        yield "\tnote_mount(argv[1]);"
    yield '\tCHECK(argc == 2 && !chdir(argv[1]) && (root = open(".", O_RDONLY)) >= 0);'
    paths = [*scene.program.names(), *([".filler"] if "fill" in emitted.helpers else [])]
    yield from (f"\tunlink({quoted(path)});" for path in paths)
    if scene.traced:
        yield from (f"\t{line}" for line in _traced("expect_mapped" in emitted.helpers))
    yield from (f"\t{line}" if line else "" for line in emitted.body)
    yield from (f"\t{line}" for line in (*_undone(scene), *_ended(scene.traced, told)))
    yield "}"


def _undone(scene: Scene) -> Iterator[str]:
    """The statements that give the machine back as it was: nobody could write to a file system that stays frozen."""
    last = {type(op): index for index, op in enumerate(scene.program.ops)}
    if last.get(ops.Freeze, -1) > last.get(ops.Thaw, -1):
        yield "CHECK(!ioctl(root, FITHAW, 0));"
    if last.get(ops.Fill, -1) > last.get(ops.Unfill, -1):
        yield 'unlink(".filler");'


def _ended(traced: bool, told: Sequence[str]) -> Iterator[str]:
    """The statements that say what was found, on the last line, and before it what no event tells of."""
    if traced:
        yield "fclose(events);"
        yield "close(marker);"
        yield "rmdir(TRACE);"
    if told:
        yield 'puts("No event tells of these. After a power cut compare:");'
        yield from (f"puts({quoted(f'  {line}')});" for line in told)
    if traced:
        yield 'printf("%s %d of %d promised pages\\n", lost ? "LOST" : "covered",'
        yield "       lost ? lost : promised, promised);"
        yield "return !!lost;"
    else:
        yield 'puts("cannot tell: no event tells of what is promised");'
        yield "return 77;"


def _traced(faults: bool) -> Iterator[str]:
    """The statements that begin to trace. One clock orders the events of all processors, and with them the stores."""
    yield f'if (system("cd {_INSTANCE.rpartition("/")[0]} && "'
    yield '\t\t"{ rmdir daxrepro; mkdir daxrepro; } 2>/dev/null; "'
    yield '\t\t"cd daxrepro && echo 4096 >buffer_size_kb && "'
    for event in (*_FAULTS, _EVENT) if faults else (_EVENT,):
        yield f'\t\t"echo 1 >events/{event}/enable && "'
    yield '\t\t"echo counter >trace_clock"))'
    yield '\terrx(77, "no fs_dax events: cannot tell");'
    yield 'CHECK((marker = open(TRACE "trace_marker", O_WRONLY)) >= 0);'
    yield 'CHECK((events = fdopen(open(TRACE "trace_pipe", O_RDONLY | O_NONBLOCK), "r")));'
