"""A kernel source tree in which nothing is compiled: its makefile copies a file, by the rules of the kernel's own."""

import os
import struct
from pathlib import Path

MAKEFILE = """\
VERSION = 6
PATCHLEVEL = 1
srctree := $(CURDIR)
image := $(O)/arch/x86/boot/bzImage
ifeq ($(O),)
$(error no O=)
endif

allnoconfig alldefconfig:
	@grep -v -f $(srctree)/unknown-options $(KCONFIG_ALLCONFIG) > $(O)/.config || true
	@env > $(O)/env

bzImage: $(image)

$(image): $(srctree)/image.c
	@echo '  CC      image.o'
	@if grep -aq 'a broken kernel' $<; then echo 'image.c:1: error: broken by this commit' >&2; exit 1; fi
	@if grep -aq 'a full disk' $<; then echo 'ld: final link failed: No space left on device' >&2; exit 1; fi
	@mkdir -p $(@D)
	@if grep -aq 'a slow kernel' $<; then echo half > $@; sh -c 'echo $$$$ > $(O)/slow; exec sleep 600' & wait; fi
	@cp $< $@
"""
TOOLS = ("gcc", "flex", "bison", "bc")
"""Tools that a real build needs and this one does not."""


def bzimage(release: str, content: str = "") -> bytes:
    """A header of the boot protocol (boot.rst) with this release, and `content` somewhere in 64 KiB of payload."""
    data = bytearray(5 * 512 + 65536)
    data[0x1F1] = 4
    struct.pack_into("<I", data, 0x1F4, 65536 // 16)
    data[0x1FE:0x200] = b"\x55\xaa"
    data[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", data, 0x20E, 0x400)
    struct.pack_into("<H", data, 0x236, 0x7F)
    for at, text in ((0x600, f"{release} (someone@example.org) #1 SMP\0"), (0x800, content)):
        data[at : at + len(text)] = text.encode()
    return bytes(data)


def write(top: Path, content: str, release: str = "6.1.0-stub") -> Path:
    """Make a tree at `top`, or change the one that is there, so that its kernel has this content."""
    top.mkdir(exist_ok=True)
    (top / "Makefile").write_text(MAKEFILE)
    (top / "image.c").write_bytes(bzimage(release, content))
    if not (top / "unknown-options").exists():
        (top / "unknown-options").write_text("no such option\n")
    return top


def search_path(place: Path) -> str:
    """A PATH on which every tool that a build needs is found; those that this one does not need do nothing."""
    place.mkdir()
    for name in TOOLS:
        (place / name).write_text("#!/bin/sh\n")
        (place / name).chmod(0o755)
    return f"{place}:{os.environ['PATH']}"
