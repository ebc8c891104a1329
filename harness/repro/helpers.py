"""The C functions that reproducers are made of; each is emitted only where it is used, with what it needs itself."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Helper:
    """The text of C functions, the helpers that they call, and headers that harness.repro.headers cannot tell."""

    text: str
    needs: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()


TABLE: Mapping[str, Helper] = {
    "skewed": Helper("""\
/* Address and offset differ by skew within 2 MiB, so that no PMD can map it. */
static char *skewed(long len, int flags, int fd, long off, long skew)
{
	char *p = mmap(NULL, len + 2 * M, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	p += (off + skew - (long)p) & (2 * M - 1);
	return mmap(p, len, PROT_READ | PROT_WRITE, flags | MAP_FIXED, fd, off);
}
"""),
    "moved": Helper("""\
/* Move a mapping to an address that is congruent within 2 MiB. */
static char *moved(char *at, long len)
{
	char *p = mmap(NULL, len + 2 * M, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	p += (at - p) & (2 * M - 1);
	return mremap(at, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, p);
}
"""),
    "expect_mapped": Helper("""\
/* The last fault in each 2 MiB left a PTE (1) or a PMD (2) there. */
static void expect_mapped(char *p, long len, int level)
{
	unsigned long at = (unsigned long)p & (-2 * M), end = (unsigned long)p + len;

	read_trace();
	for (; at < end; at += 2 * M)
		if (mapped[at >> 21 & 0xffff] != level)
			errx(77, "not mapped as is needed: cannot tell");
}
""", ("trace",)),
    "sync_dir": Helper("""\
static int sync_dir(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY), failed = fsync(fd);

	close(fd);
	return failed;
}
"""),
    "link_fd": Helper("""\
static int link_fd(int fd, const char *to)
{
	char from[64];

	snprintf(from, sizeof(from), "/proc/self/fd/%d", fd);
	return linkat(AT_FDCWD, from, AT_FDCWD, to, AT_SYMLINK_FOLLOW);
}
"""),
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
"""The helpers that most reproducers use; harness.repro.seldom has the others, and harness.repro.tracing what traces."""


def chosen(table: Mapping[str, Helper], wanted: Iterable[str]) -> list[Helper]:
    """The helpers `wanted` and all that they need, in the order of the table."""
    todo, found = list(wanted), set[str]()
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo += table[name].needs
    return [helper for name, helper in table.items() if name in found]
