"""The C functions of ops that few Programs have: other disks, shared blocks, mounts, lanes."""

from collections.abc import Mapping

from harness.repro import helpers
from harness.repro.helpers import Helper

_MORE: Mapping[str, Helper] = {
    "roomy": Helper("""\
/* As mmap, congruent within 2 MiB but for skew, with room behind it to grow. */
static char *roomy(long len, int flags, int fd, long off, long skew, long room)
{
	char *p = mmap(NULL, len + room + 4 * M, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	p += (off + skew - (long)p) & (2 * M - 1);
	return mmap(p, len, PROT_READ | PROT_WRITE, flags | MAP_FIXED, fd, off);
}
"""),
    "resized": Helper("""\
/* The addresses behind the mapping are kept free for its growth. */
static int resized(char *at, long old, long new)
{
	if (new > old)
		CHECK(!munmap(at + old, new - old));
	if (mremap(at, old, new, 0) == MAP_FAILED)
		return -1;
	if (new < old)
		CHECK(mmap(at + new, old - new, PROT_NONE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED);
	return 0;
}
"""),
    "direct": Helper("""\
static ssize_t direct(int fd, char *p, size_t len, off_t off, int writes,
		int flags)
{
	struct iovec all = { p, len };
	char name[32];
	ssize_t n;

	sprintf(name, "/proc/self/fd/%d", fd);
	CHECK((fd = open(name, O_RDWR | O_DIRECT)) >= 0);
	n = writes ? pwritev2(fd, &all, 1, off, flags) :
			preadv2(fd, &all, 1, off, flags);
	close(fd);
	return n;
}
"""),
    "by_disk": Helper("""\
/* Read bytes from a RAM disk (modprobe brd) to `at` by DMA, or write from it. */
static ssize_t by_disk(const char *disk, char *at, size_t len, int byte)
{
	char *p = aligned_alloc(4096, (len + 4095) & -4096UL);
	int fd = open(disk, O_RDWR | O_DIRECT);
	ssize_t n;

	CHECK(p && fd >= 0);
	if (byte < 0) {
		n = pwrite(fd, at, len, 0);
	} else {
		memset(p, byte, (len + 4095) & -4096UL);
		CHECK(pwrite(fd, p, (len + 4095) & -4096UL, 0) > 0);
		n = pread(fd, at, len, 0);
	}
	close(fd);
	free(p);
	return n;
}
"""),
    "set_dax": Helper("""\
static int set_dax(int fd, int on)
{
	struct fsxattr attr;

	CHECK(!ioctl(fd, FS_IOC_FSGETXATTR, &attr));
	attr.fsx_xflags &= ~FS_XFLAG_DAX;
	attr.fsx_xflags |= on ? FS_XFLAG_DAX : 0;
	return ioctl(fd, FS_IOC_FSSETXATTR, &attr);
}
"""),
    "dedupe": Helper("""\
static long dedupe(int fd, long off, long len, int from, long start)
{
	char space[sizeof(struct file_dedupe_range) +
			sizeof(struct file_dedupe_range_info)] = { 0 };
	struct file_dedupe_range *range = (void *)space;

	range->src_offset = start;
	range->src_length = len;
	range->dest_count = 1;
	range->info[0].dest_fd = fd;
	range->info[0].dest_offset = off;
	if (ioctl(from, FIDEDUPERANGE, range))
		return -1;
	if (range->info[0].status >= 0)
		return range->info[0].bytes_deduped;
	errno = -range->info[0].status;
	return -1;
}
""", headers=("errno.h",)),
    "spliced": Helper("""\
static long spliced(int fd, loff_t off, long len, int from, loff_t start)
{
	long n = 0, left, m;
	int ends[2];

	CHECK(!pipe(ends));
	for (; len; len -= n) {
		n = splice(from, &start, ends[1], NULL, len, 0);
		if (n <= 0)
			break;
		for (left = n; left; left -= m) {
			m = splice(ends[0], NULL, fd, &off, left, 0);
			CHECK(m > 0);
		}
	}
	close(ends[0]);
	close(ends[1]);
	return n;
}
"""),
    "sent": Helper("""\
static long sent(int fd, long off, long len, int from, off_t start)
{
	long n;

	CHECK(lseek(fd, off, SEEK_SET) == off);
	for (; len; len -= n) {
		n = sendfile(fd, from, &start, len);
		if (n <= 0)
			return n;
	}
	return 0;
}
"""),
    "exchange": Helper("""\
static int exchange(int fd, long off, long len, int other, long start)
{
	struct {	/* struct xfs_exchange_range of xfs_fs.h */
		__s32 fd;
		__u32 pad;
		__u64 other_offset, offset, length, flags;
	} range = { other, 0, start, off, len, 0 };

	return ioctl(fd, _IOW('X', 129, range), &range);
}
"""),
    "swapext": Helper("""\
/* XFS_IOC_SWAPEXT, which wants the struct xfs_bstat of the file. */
static int swapext(int fd, int other)
{
	struct { __s64 version, fd, other, off, len; char pad[16], is[136]; } ext;
	struct { void *last; __s32 count; void *to, *found; } bulk;
	struct stat st;
	__s32 found;
	__u64 last;

	CHECK(!fstat(fd, &st));
	last = st.st_ino;
	memset(&ext, 0, sizeof(ext));
	bulk.last = &last;
	bulk.count = 1;
	bulk.to = ext.is;
	bulk.found = &found;
	CHECK(!ioctl(fd, _IOWR('X', 102, bulk), &bulk));
	ext.fd = fd;
	ext.other = other;
	ext.len = st.st_size;
	return ioctl(fd, _IOWR('X', 109, ext), &ext);
}
"""),
    "mount": Helper("""\
static char where[4096], device[4096], type[64], options[4096];

/* Note how the file system is mounted, to mount it again. */
static void note_mount(const char *dir)
{
	FILE *mounts = setmntent("/proc/self/mounts", "r");
	struct mntent *one;

	CHECK(mounts && realpath(dir, where));
	while ((one = getmntent(mounts)))
		if (!strcmp(one->mnt_dir, where)) {
			snprintf(device, sizeof(device), "%s", one->mnt_fsname);
			snprintf(type, sizeof(type), "%s", one->mnt_type);
			snprintf(options, sizeof(options), "%s%s", "dax=",
					hasmntopt(one, "dax=never") ? "never" :
					hasmntopt(one, "dax=inode") ? "inode" :
					"always");
		}
	endmntent(mounts);
	CHECK(device[0]);
}
"""),
    "remount": Helper("""\
static int remount(unsigned long flags, const char *data)
{
	return syscall(SYS_mount, device, where, type, flags, data);
}
""", ("mount",)),
    "unmount": Helper("""\
static int unmount(void)
{
	int failed;

	CHECK(!chdir("/") && !close(root));
	failed = syscall(SYS_umount2, where, 0);
	if (failed)
		CHECK(!chdir(where) && (root = open(".", O_RDONLY)) >= 0);
	return failed;
}
""", ("mount",)),
    "mount_again": Helper("""\
static int mount_again(void)
{
	if (syscall(SYS_mount, device, where, type, 0, options))
		return -1;
	CHECK(!chdir(where) && (root = open(".", O_RDONLY)) >= 0);
	return 0;
}
""", ("mount",)),
    "fill": Helper("""\
/* Allocate all blocks but `spare` bytes to a file of its own. */
static int fill(long spare)
{
	int fd = open(".filler", O_RDWR | O_CREAT, 0600);
	long piece, end = 0;
	struct stat st;

	CHECK(fd >= 0);
	for (piece = 256 * M; piece >= 4 * K; piece /= 2)
		while (!fallocate(fd, 0, end, piece))
			end += piece;
	CHECK(errno == ENOSPC && !fstat(fd, &st));
	end = st.st_size > spare ? st.st_size - spare : 0;
	CHECK(!spare || !ftruncate(fd, end));
	return close(fd);
}
""", headers=("errno.h",)),
    "lanes": Helper("""\
static pthread_barrier_t *gate;

/* Some kernels forget to wake an op: the race ends all the same. */
static void hung(int sig)
{
	dprintf(STDOUT_FILENO, "an op does not come back (signal %d): cannot tell\\n", sig);
	_exit(77);
}

static void open_gate(int lanes)
{
	pthread_barrierattr_t attr;

	signal(SIGALRM, hung);
	alarm(300);
	gate = mmap(NULL, sizeof(*gate), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(gate != MAP_FAILED && !pthread_barrierattr_init(&attr));
	CHECK(!pthread_barrierattr_setpshared(&attr, PTHREAD_PROCESS_SHARED));
	CHECK(!pthread_barrier_init(gate, &attr, lanes));
}
""", headers=("pthread.h", "signal.h")),
    "process": Helper("""\
static pid_t process(void *(*lane)(void *))
{
	pid_t pid;

	fflush(stdout);
	CHECK((pid = fork()) >= 0);
	if (!pid) {
		alarm(300);
		lane(NULL);
		_exit(0);
	}
	return pid;
}
""", ("lanes",)),
    "joined": Helper("""\
static void join(pid_t pid)
{
	int status;

	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK(!status);
}
""", ("process",), ("sys/wait.h",)),
    "killed": Helper("""\
static void killed(pid_t pid)
{
	usleep(rand() % 2000);
	CHECK(!kill(pid, SIGKILL));
	CHECK(waitpid(pid, NULL, 0) == pid);
}
""", ("process",), ("signal.h", "stdlib.h", "sys/wait.h")),
}

TABLE: Mapping[str, Helper] = {**helpers.TABLE, **_MORE}
"""All helpers, in the order in which they may stand: each behind those that it needs."""
