"""Writes the C that traces: how it begins, what reads the trace, and what judges the pages that were promised."""

from collections.abc import Iterator
from dataclasses import dataclass

from harness.repro.helpers import Helper

INSTANCE = "/sys/kernel/tracing/instances/daxrepro/"
_EVENT = "fs_dax/dax_writeback_one"
_FAULTS = ("fs_dax/dax_pte_fault_done", "fs_dax/dax_pmd_fault_done")
_READ_FAULTS = """\
		p = strstr(line, "_fault_done: ");
		if (p) {
			first = strtoul(strstr(p, "address ") + 8, NULL, 16) >> 21;
			if (strstr(p, "NOPAGE") || strstr(p, "NEEDDSYNC") || strstr(p, "DONE_COW"))
				mapped[first & 0xffff] = strstr(line, "dax_pmd_fault") ? 2 : 1;
			continue;
		}
"""


@dataclass(frozen=True, slots=True)
class TraceForm:
    """The trace of one Program, which does no more than the Program needs.

    `files` are those that are judged, each of `pages` pages; 0 if nothing is traced. With `marks` the stores stand in
    the trace too, since threads store at any time. With `faults` it also tells what was mapped. `once`: the trace is
    read once, when one range of pages is judged.
    """

    files: int
    pages: int
    marks: bool
    faults: bool
    once: bool

    @property
    def several(self) -> bool:
        """Say whether the arrays have an index for the file."""
        return self.files > 1

    def written(self, file: int) -> str:
        """The array of a file, whose index among those judged is given: nonzero for each page that was written back."""
        return f"written[{file}]" if self.several else "written"

    def status(self, file: int) -> str:
        """The struct statx of a file."""
        return f"st[{file}]" if self.several else "st"

    def argument(self, file: int) -> str:
        """The first argument of a function that takes the index of a file, where there are several."""
        return f"{file}, " if self.several else ""


def declared(form: TraceForm) -> Iterator[str]:
    """Yield the variables of the trace."""
    count = f"[{form.files}]" if form.several else ""
    yield f"static struct statx st{count};"
    yield "static FILE *events;"


def begun(form: TraceForm) -> Iterator[str]:
    """Yield the statements that begin to trace. With stores in the trace, one clock orders the events of all
    processors."""
    events = (*_FAULTS, _EVENT) if form.faults else (_EVENT,)
    orders = [f'echo 1 >" TRACE "events/{event}/enable' for event in events]
    if form.marks:
        orders += ['echo 4096 >" TRACE "buffer_size_kb', 'echo counter >" TRACE "trace_clock']
    yield 'if (system("rmdir " TRACE " 2>/dev/null; mkdir -p " TRACE " && "'
    yield from (f'\t\t"{order} && "' for order in orders[:-1])
    yield f'\t\t"{orders[-1]}"))'
    yield '\terrx(77, "no fs_dax events: cannot tell");'
    yield 'CHECK((events = fdopen(open(TRACE "trace_pipe", O_RDONLY | O_NONBLOCK), "r")));'
    if form.marks:
        yield 'CHECK((marker = open(TRACE "trace_marker", O_WRONLY)) >= 0);'


def ended(form: TraceForm) -> Iterator[str]:
    """Yield the statements that take the trace away."""
    yield "fclose(events);"
    if form.marks:
        yield "close(marker);"
    yield "rmdir(TRACE);"


def helpers(form: TraceForm) -> dict[str, Helper]:
    """The functions of the trace, by the names that the C of ops wants them by."""
    judges = Helper(_once(form)) if form.once else Helper(_covered(form), ("trace",))
    return {
        "dax_file": Helper(_DAX_FILE),
        "mark": Helper(_mark(form)),
        "trace": Helper(_read_trace(form)),
        "stored": Helper(_STORED, ("trace",)),
        "covered": judges,
    }


_DAX_FILE = """\
static void dax_file(int fd, struct statx *st)
{
	CHECK(!statx(fd, "", AT_EMPTY_PATH, STATX_INO, st));
	if (!(st->stx_attributes & STATX_ATTR_DAX))
		errx(77, "no DAX: cannot tell");
}
"""
_STORED = """\
/* What was written back before a store does not cover it. */
static void stored(char *written, long pages)
{
	read_trace();
	memset(written, 0, pages);
}
"""


def _mark(form: TraceForm) -> str:
    parameter = "int i, " if form.several else ""
    inode = "st[i].stx_ino" if form.several else "st.stx_ino"
    return f"""\
static void mark({parameter}long page, long pages)
{{
	dprintf(marker, "stored: ino 0x%llx pgoff 0x%lx pglen 0x%lx\\n", {inode}, page, pages);
}}
"""


def _read(form: TraceForm) -> str:
    """The loop over the lines of the trace. Anything but an event is no verdict, such as CPU:1 [LOST 7 EVENTS]."""
    value = '!strstr(line, "stored: ")' if form.marks else "1"
    text = f"""\
	while (fgets(line, sizeof(line), events)) {{
{_READ_FAULTS if form.faults else ""}\
		p = strstr(line, "ino ");
		if (!p || sscanf(p, "ino %lx pgoff %lx pglen %lx", &ino, &first, &n) != 3)
			errx(77, "%s: cannot tell", line);	/* CPU:1 [LOST 7 EVENTS] */
"""
    if form.several:
        return text + f"""\
		for (i = 0; i < {form.files}; i++)
			if (ino == st[i].stx_ino && first + n <= sizeof(written[i]))
				memset(written[i] + first, {value}, n);
	}}
"""
    return text + f"""\
		if (ino == st.stx_ino && first + n <= sizeof(written))
			memset(written + first, {value}, n);
	}}
"""


def _locals(form: TraceForm) -> str:
    return f"""\
	unsigned long ino, first, n;
	char line[512], *p;
{'''	int i;
''' if form.several else ""}
"""


def _read_trace(form: TraceForm) -> str:
    return f"""\
static void read_trace(void)
{{
{_locals(form)}{_read(form)}\
	clearerr(events);
}}
"""


def _once(form: TraceForm) -> str:
    return f"""\
/* A page is lost if no event tells that the kernel wrote it back. */
static void covered(int page, int end)
{{
{_locals(form)}{_read(form)}\
	while (page < end)
		lost += !written[page++];
}}
"""


def _covered(form: TraceForm) -> str:
    parameter = "int i, " if form.several else ""
    array = "written[i]" if form.several else "written"
    return f"""\
/* A page is lost if no event since its store tells that the kernel wrote it back. */
static void covered({parameter}int page, int end, const char *sync)
{{
	int first = page, n = 0;

	read_trace();
	while (page < end)
		n += !{array}[page++];
	if (n)
		printf("pages %d to %d: %d not written back by %s\\n", first, end - 1, n, sync);
	lost += n;
}}
"""
