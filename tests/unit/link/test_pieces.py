"""What a hostile guest says of where the file system lies is checked before a byte is read there."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from harness.errors import ChannelError
from harness.link import session
from harness.linux import ioctls, layout, mapper
from harness.model.units import PAGE, PMD

SIZE = 64 * PMD


@pytest.mark.parametrize(
    "pieces", [[[PMD, SIZE - PMD]], [[PMD, 31 * PMD], [33 * PMD, 31 * PMD]], [[33 * PMD, PMD], [0, PAGE], [PAGE, PAGE]]]
)
def test_pieces_keep_their_order(pieces: list[list[int]]) -> None:
    """What fits on the medium is taken as the guest orders it: that is the order of the file system."""
    assert session._pieces({"pieces": pieces}, SIZE) == tuple(tuple(piece) for piece in pieces)


@pytest.mark.parametrize(
    "pieces",
    [
        None, 7, [], {}, "pieces", [7], [[1, 2, 3]], [[0]], [["0", PAGE]], [[0, PAGE], None], [[True, PAGE]],
        [[0, 0]], [[0, -PAGE]], [[-PAGE, PAGE]], [[1, PAGE]], [[0, 100]], [[0, SIZE + PAGE]], [[SIZE, PAGE]],
        [[0, 2 * PAGE], [PAGE, PAGE]], [[0, 1 << 70]], [[place * PAGE, PAGE] for place in range(session.PIECES + 1)],
    ],
)  # fmt: skip
def test_pieces_that_cannot_be_are_refused(pieces: Any) -> None:
    """Pieces that overlap, lie outside, are no whole pages or no numbers at all are the guest's fault."""
    with pytest.raises(ChannelError, match=r"pieces? of the medium"):
        session._pieces({"pieces": pieces}, SIZE)


HEADERS = """
#include <stddef.h>
#include <stdio.h>
#include <linux/blkpg.h>
#include <linux/dm-ioctl.h>
#include <linux/fs.h>
int main(void)
{
    printf("%zu %zu %zu %zu %zu ", sizeof(struct dm_ioctl), sizeof(struct dm_target_spec),
           offsetof(struct dm_ioctl, name), sizeof(struct blkpg_partition), sizeof(struct blkpg_ioctl_arg));
    printf("%u %u %u %u %u", (unsigned)DM_DEV_CREATE, (unsigned)DM_TABLE_LOAD, (unsigned)BLKPG,
           (unsigned)FS_IOC_FSGETXATTR, (unsigned)FS_IOC_FSSETXATTR);
}
"""


def test_structures_are_those_of_the_kernel_headers(tmp_path: Path) -> None:
    """What is packed for ioctls has the sizes, places and numbers that a C compiler gives it."""
    (tmp_path / "sizes.c").write_text(HEADERS)
    subprocess.run(["gcc", "-o", tmp_path / "sizes", tmp_path / "sizes.c"], check=True)
    said = subprocess.run([tmp_path / "sizes"], capture_output=True, text=True, check=True).stdout
    ours = (mapper._HEADER.size, mapper._TARGET.size, 48, layout._PARTITION.size, layout._ARGUMENT.size,
            mapper._request(3), mapper._request(9), layout._BLKPG,
            ioctls.FS_IOC_FSGETXATTR, ioctls.FS_IOC_FSSETXATTR)  # fmt: skip
    assert said.split() == [str(number) for number in ours]
