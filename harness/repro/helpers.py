"""The C functions that reproducers are made of; each is emitted only where it is used, with what it needs itself."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Helper:
    """The text of C functions, the helpers that they call, and headers beyond those that each reproducer has."""

    text: str
    needs: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()


HEADERS = ("err.h", "fcntl.h", "stdio.h", "stdlib.h", "string.h", "sys/mman.h", "sys/stat.h", "unistd.h")
"""The headers that each reproducer includes."""

TABLE: Mapping[str, Helper] = {
    "trace": Helper("""\
/* A page is dirty from a store until a writeback covers it. */
static void read_trace(void)
{
	unsigned long number, page, pages;
	char line[1024], *p;
	int i;

	while (fgets(line, sizeof(line), events)) {
		if (strstr(line, " EVENTS]"))	/* CPU:1 [LOST 7 EVENTS] */
			errx(77, "%s: cannot tell", line);
@faults@\
		p = strstr(line, "ino ");
		if (!p || sscanf(p, "ino %lx pgoff %lx pglen %lx", &number,
					&page, &pages) != 3)
			continue;
		for (i = 0; i < FILES; i++)
			if (number == ino[i] && page + pages <= PAGES)
				memset(dirty[i] + page,
					!strncmp(p - 8, "stored", 6), pages);
	}
	clearerr(events);
}
"""),
    "covered": Helper("""\
static void covered(int i, int page, int end, const char *sync)
{
	int n = 0, first = page;

	read_trace();
	for (promised += end - page; page < end; page++)
		n += dirty[i][page], dirty[i][page] = 0;
	if (n)
		printf("pages %d to %d: %d not written back by %s\\n",
			first, end - 1, n, sync);
	lost += n;
}
""", ("trace",)),
    "map": Helper("""\
/* At skew 0 a PMD may map 2 MiB: address and offset are congruent. */
static struct map map(int i, int fd, long off, long len, int flags, long skew)
{
	char *p = mmap(NULL, len + 2 * M, PROT_NONE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct statx st;

	CHECK(!statx(fd, "", AT_EMPTY_PATH, STATX_INO, &st));
	p += (off + skew - (long)p) & (2 * M - 1);
	p = mmap(p, len, PROT_READ | PROT_WRITE, flags | MAP_FIXED, fd, off);
@dax@\
	return (struct map){ p, off, len, i };
}
"""),
    "moved": Helper("""\
static struct map moved(struct map *m, long off)
{
	struct map new = { NULL, m->off + off, m->len - off, m->i };
	char *p = mmap(NULL, new.len + 2 * M, PROT_NONE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	p += ((long)m->at + off - (long)p) & (2 * M - 1);
	new.at = mremap(m->at + off, new.len, new.len,
			MREMAP_MAYMOVE | MREMAP_FIXED, p);
	if (new.at != MAP_FAILED)
		m->len = off;
	return new;
}
"""),
    "mark": Helper("""\
static void mark(struct map m, long off, long len)
{
	dprintf(marker, "stored: ino 0x%lx pgoff 0x%lx pglen 0x%lx\\n",
		ino[m.i], (m.off + off) / 4096,
		((m.off + off) % 4096 + len + 4095) / 4096);
}
"""),
    "store": Helper("""\
static void store(struct map m, long off, long len, int byte)
{
	dprintf(marker, "stored: ino 0x%lx pgoff 0x%lx pglen 0x%lx\\n",
		ino[m.i], (m.off + off) / 4096,
		((m.off + off) % 4096 + len + 4095) / 4096);
	memset(m.at + off, byte, len);
}
"""),
    "shift": Helper("""\
/* The file's pages from `first` on have moved by `pages`. */
static void shift(int i, long first, long pages)
{
	char *from = dirty[i] + first, *end = dirty[i] + PAGES;
	long n = labs(pages);

	read_trace();
	if (pages < 0) {
		memmove(from, from + n, end - from - n);
		memset(end - n, 0, n);
	} else {
		memmove(from + n, from, end - from - n);
		memset(from, 0, n);
	}
}
""", ("trace",)),
    "expect_mapped": Helper("""\
/* The last fault in each 2 MiB left a PTE (1) or a PMD (2) there. */
static void expect_mapped(struct map m, long off, long len, int level)
{
	unsigned long at = (unsigned long)m.at + off, end = at + len;

	read_trace();
	for (at &= -2 * M; at < end; at += 2 * M)
		if (mapped[at >> 21 & 0xffff] != level)
			errx(77, "not mapped as is needed: cannot tell");
}
""", ("trace",)),
    "is_dax": Helper("""\
static int is_dax(int fd)
{
	struct statx st;

	CHECK(!statx(fd, "", AT_EMPTY_PATH, 0, &st));
	return !!(st.stx_attributes & STATX_ATTR_DAX);
}
"""),
    "set": Helper("""\
static int set(const char *name, const char *value)
{
	int fd = open(name, O_WRONLY), n = write(fd, value, strlen(value));

	close(fd);
	return n > 0 ? 0 : -1;
}
"""),
    "in_child": Helper("""\
/* True in a child, which must die of the signal: the parent waits for that. */
static int in_child(int sig)
{
	pid_t pid;
	int status;

	fflush(stdout);
	CHECK((pid = fork()) >= 0);
	if (!pid)
		return 1;
	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == sig);
	return 0;
}
""", headers=("signal.h", "sys/wait.h")),
    "filled": Helper("""\
static char *filled(int byte, size_t len)
{
	static __thread char *p;

	free(p);
	p = aligned_alloc(4096, (len + 4095) & -4096UL);
	CHECK(p);
	return memset(p, byte, len);
}
"""),
    "load": Helper("""\
static void load(const char *at, long len)
{
	volatile const char *p = at;

	while (len--)
		(void)*p++;
}
"""),
    "flush": Helper("""\
static void flush(char *at, long len)
{
	char *p;

	for (p = at - (unsigned long)at % 64; p < at + len; p += 64)
		_mm_clflush(p);
	_mm_sfence();
}
"""),
}
"""The helpers that most reproducers use; harness.repro.seldom has the others."""


def chosen(table: Mapping[str, Helper], wanted: Iterable[str]) -> list[Helper]:
    """The helpers `wanted` and all that they need, in the order of the table."""
    todo, found = list(wanted), set[str]()
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo += table[name].needs
    return [helper for name, helper in table.items() if name in found]
