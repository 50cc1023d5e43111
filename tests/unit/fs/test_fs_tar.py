import contextlib
import hashlib
import io
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tiffin.errors import InvalidArgument
from tiffin.fs.tar import Entry, EntryKind, TarReader, TarWriter
from tiffin.fs.tar import header as headers
from tiffin.fs.tar.pax import format_time, time_ns

KINDS = {
    EntryKind.FILE: tarfile.REGTYPE,
    EntryKind.HARD_LINK: tarfile.LNKTYPE,
    EntryKind.SYMLINK: tarfile.SYMTYPE,
    EntryKind.CHARACTER: tarfile.CHRTYPE,
    EntryKind.BLOCK: tarfile.BLKTYPE,
    EntryKind.DIRECTORY: tarfile.DIRTYPE,
    EntryKind.FIFO: tarfile.FIFOTYPE,
}


class Trickle:
    """A stream that gives few bytes at a time."""

    def __init__(self, data: bytes, step: int) -> None:
        self._stream = io.BytesIO(data)
        self._step = step

    def read(self, size: int, /) -> bytes:
        return self._stream.read(min(size, self._step))


def read_all(data: bytes, step: int = 1 << 20) -> list[tuple[Entry, bytes]]:
    reader = TarReader(Trickle(data, step))
    return [(entry, b"".join(reader.chunks())) for entry in reader]


def write_all(entries: list[tuple[Entry, bytes]]) -> bytes:
    sink = io.BytesIO()
    writer = TarWriter(sink)
    for entry, data in entries:
        writer.add(entry, data)
    writer.finish()
    return sink.getvalue()


# Names that every format and tarfile agree on: no leading or trailing slash, not only dots.
part = st.text(
    st.characters(min_codepoint=1, max_codepoint=0x2FFF, exclude_characters="/"),
    min_size=1, max_size=60,
)  # fmt: skip
path = st.lists(part, min_size=1, max_size=6).map("/".join)
xattrs = st.dictionaries(
    st.sampled_from(["user.a", "user.long.name", "security.capability", "trusted.x"]),
    st.binary(max_size=200),
)


@st.composite
def members(draw: st.DrawFn) -> tuple[Entry, bytes]:
    kind = draw(st.sampled_from(list(EntryKind)))
    data = draw(st.binary(max_size=1500)) if kind is EntryKind.FILE else b""
    is_link = kind in (EntryKind.SYMLINK, EntryKind.HARD_LINK)
    is_device = kind in (EntryKind.CHARACTER, EntryKind.BLOCK)
    name = draw(path)
    entry = Entry(
        name=f"{name}/" if kind is EntryKind.DIRECTORY else name,
        kind=kind,
        mode=draw(st.integers(0, 0o7777)),
        uid=draw(st.integers(0, 2**32 - 2)),
        gid=draw(st.integers(0, 2**32 - 2)),
        size=len(data),
        mtime_ns=draw(st.integers(-(10**18), 2 * 10**20)),
        link=draw(path) if is_link else "",
        user=draw(st.sampled_from(["", "root", "ü" * 20])),
        major=draw(st.integers(0, 4095)) if is_device else 0,
        minor=draw(st.integers(0, 2**20)) if is_device else 0,
        xattrs=draw(xattrs),
    )
    return entry, data


@settings(deadline=None)
@given(st.lists(members(), max_size=4), st.sampled_from([1 << 20, 512, 7]))
def test_what_is_written_is_read(entries: list[tuple[Entry, bytes]], step: int) -> None:
    assert read_all(write_all(entries), step) == entries


@settings(deadline=None)
@given(st.lists(members(), max_size=4))
def test_tarfile_reads_what_is_written(entries: list[tuple[Entry, bytes]]) -> None:
    with tarfile.open(fileobj=io.BytesIO(write_all(entries))) as archive:
        infos = archive.getmembers()
        assert len(infos) == len(entries)
        for info, (entry, data) in zip(infos, entries, strict=True):
            assert info.name == entry.name.rstrip("/")
            assert info.type == KINDS[entry.kind]
            assert (info.mode, info.uid, info.gid) == (entry.mode, entry.uid, entry.gid)
            assert (info.size, info.linkname) == (entry.size, entry.link)
            assert info.uname == entry.user
            assert info.mtime == pytest.approx(entry.mtime_ns / 1e9)
            if entry.kind in (EntryKind.CHARACTER, EntryKind.BLOCK):
                assert (info.devmajor, info.devminor) == (entry.major, entry.minor)
            if entry.kind is EntryKind.FILE:
                file = archive.extractfile(info)
                assert file is not None
                assert file.read() == data


@settings(deadline=None)
@given(
    st.lists(members(), max_size=4),
    st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]),
    st.integers(1, 2000),
)
def test_what_tarfile_writes_is_read(
    entries: list[tuple[Entry, bytes]], form: int, step: int
) -> None:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w", format=form, encoding="utf-8") as archive:
        for entry, data in entries:
            info = tarfile.TarInfo(entry.name)
            info.type, info.mode = KINDS[entry.kind], entry.mode
            info.uid, info.gid, info.size = entry.uid, entry.gid, entry.size
            info.mtime = entry.mtime_ns // 10**9
            info.linkname, info.uname = entry.link, entry.user
            info.devmajor, info.devminor = entry.major, entry.minor
            archive.addfile(info, io.BytesIO(data))
    seen = read_all(sink.getvalue(), step)
    assert len(seen) == len(entries)
    for (entry, data), (wanted, wanted_data) in zip(seen, entries, strict=True):
        assert data == wanted_data
        assert entry.name.rstrip("/") == wanted.name.rstrip("/")
        assert form == tarfile.GNU_FORMAT or entry.user == wanted.user  # GNU cuts long ones
        for name in ("kind", "mode", "uid", "gid", "size", "link"):
            assert getattr(entry, name) == getattr(wanted, name), name
        assert entry.mtime_ns == wanted.mtime_ns // 10**9 * 10**9


@settings(deadline=None, max_examples=300)
@given(st.lists(members(), min_size=1, max_size=3), st.data())
def test_damage_is_either_read_or_refused(
    entries: list[tuple[Entry, bytes]], data: st.DataObject
) -> None:
    raw = bytearray(write_all(entries))
    for _ in range(data.draw(st.integers(0, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(raw)))
    with contextlib.suppress(InvalidArgument):  # and nothing else
        read_all(bytes(raw[:cut]), 333)


@settings(deadline=None)
@given(st.binary(max_size=3000))
def test_noise_is_refused(data: bytes) -> None:
    try:
        assert read_all(data) == []
    except InvalidArgument:
        return
    assert not data.strip(b"\0")[:512]


@given(st.integers(-(2**62), 2**62))
def test_times_survive(ns: int) -> None:
    assert time_ns(format_time(ns)) == ns


@given(st.integers(0, 2**80), st.sampled_from([8, 12]))
def test_base_256_numbers(value: int, width: int) -> None:
    value %= 1 << (8 * width - 2)
    positive = (value | 1 << (8 * width - 1)).to_bytes(width, "big")
    assert headers.number(positive) == value
    negative = ((1 << 8 * width) - 1 - value).to_bytes(width, "big")
    assert headers.number(negative) == -1 - value


SPARSE_SIZE = 3 << 20
SPARSE = [(4096, b"one" * 1000), (1 << 20, b"two" * 5000), (SPARSE_SIZE - 10, b"ten bytes!")]


def sparse_data() -> bytes:
    data = bytearray(SPARSE_SIZE)
    for offset, piece in SPARSE:
        data[offset : offset + len(piece)] = piece
    return bytes(data)


def pax(records: dict[str, Any], name: str, data: bytes) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    info.pax_headers = {key: str(value) for key, value in records.items()}
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(info, io.BytesIO(data))
    return sink.getvalue()


def sparse_archive(form: str) -> bytes:
    stored = b"".join(piece for _, piece in SPARSE)
    numbers = [number for offset, piece in SPARSE for number in (offset, len(piece))]
    if form == "0.1":
        records = {
            "GNU.sparse.size": SPARSE_SIZE, "GNU.sparse.name": "sparse",
            "GNU.sparse.numblocks": len(SPARSE), "GNU.sparse.map": ",".join(map(str, numbers)),
        }  # fmt: skip
        return pax(records, "GNUSparseFile.0/sparse", stored)
    if form == "1.0":
        records = {
            "GNU.sparse.major": 1, "GNU.sparse.minor": 0, "GNU.sparse.name": "sparse",
            "GNU.sparse.realsize": SPARSE_SIZE,
        }  # fmt: skip
        lines = "".join(f"{number}\n" for number in [len(SPARSE), *numbers]).encode()
        lines += bytes(-len(lines) % 512)
        return pax(records, "GNUSparseFile.0/sparse", lines + stored)
    info = tarfile.TarInfo("sparse")
    info.size, info.type = len(stored), tarfile.GNUTYPE_SPARSE
    block = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    at = 386
    for number in numbers:
        block[at : at + 12] = b"%011o\0" % number
        at += 12
    block[483:495] = b"%011o\0" % SPARSE_SIZE
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block) + stored + bytes(-len(stored) % 512) + bytes(1024)


@pytest.mark.parametrize("form", ["old", "0.1", "1.0"])
def test_sparse_files(form: str, tmp_path: Path) -> None:
    archive = sparse_archive(form) + write_all([(Entry("next"), b"")])
    reader = TarReader(Trickle(archive, 1000))
    entry = next(iter(reader))
    assert (entry.name, entry.size) == ("sparse", SPARSE_SIZE)
    assert entry.extents == tuple((offset, len(piece)) for offset, piece in SPARSE)
    assert b"".join(reader.chunks()) == sparse_data()

    reader = TarReader(io.BytesIO(archive))
    next(iter(reader))
    with (tmp_path / "file").open("w+b") as file:
        reader.copy_to(file.fileno())
        assert (tmp_path / "file").read_bytes() == sparse_data()
        assert os.fstat(file.fileno()).st_blocks * 512 < SPARSE_SIZE / 2


def test_a_sparse_map_must_fit() -> None:
    for bad in ("10,5,0,5", "0,5,3,5", "0,99999999,5,5", "0,-1", "1", "a,b"):
        archive = pax({"GNU.sparse.size": 100, "GNU.sparse.map": bad}, "x", b"12345")
        with pytest.raises(InvalidArgument):
            read_all(archive)


def test_global_headers_are_defaults() -> None:
    sink = io.BytesIO()
    with tarfile.open(
        fileobj=sink, mode="w", format=tarfile.PAX_FORMAT, pax_headers={"uname": "all", "x": "y"}
    ) as archive:
        archive.addfile(tarfile.TarInfo("one"))
        special = tarfile.TarInfo("two")
        special.pax_headers = {"uname": "own"}
        archive.addfile(special)
    assert [entry.user for entry, _ in read_all(sink.getvalue())] == ["all", "own"]


def test_odd_types() -> None:
    contiguous = tarfile.TarInfo("contiguous")
    contiguous.type, contiguous.size = b"7", 3
    (entry, data), *_ = read_all(contiguous.tobuf() + b"abc".ljust(512, b"\0"))
    assert (entry.kind, data) == (EntryKind.FILE, b"abc")

    old = tarfile.TarInfo("old/")
    old.type = tarfile.AREGTYPE
    block = bytearray(old.tobuf(tarfile.USTAR_FORMAT))
    block[257:265] = bytes(8)  # v7 has no magic
    block[:5] = b"old/\0"
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    assert read_all(bytes(block))[0][0].kind is EntryKind.DIRECTORY

    unknown = tarfile.TarInfo("some/name")
    unknown.type = b"Z"
    with pytest.raises(InvalidArgument, match=r"some/name.*unknown type"):
        read_all(unknown.tobuf())


def test_links_have_no_data_whatever_their_size_says() -> None:
    link = tarfile.TarInfo("link")
    link.type, link.linkname, link.size = tarfile.LNKTYPE, "target", 512
    raw = link.tobuf() + tarfile.TarInfo("next").tobuf()
    assert [entry.name for entry, _ in read_all(raw)] == ["link", "next"]


def test_names_need_not_be_text() -> None:
    name = os.fsdecode(b"caf\xe9")
    raw = write_all([(Entry(name), b"")])
    assert read_all(raw)[0][0].name == name
    for form in (tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT):
        info = tarfile.TarInfo(name)
        assert read_all(info.tobuf(form, errors="surrogateescape"))[0][0].name == name


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"garbage" * 200, "malformed"),
        (tarfile.TarInfo("name").tobuf()[:300], "unexpected end"),
        (bytes(512) + tarfile.TarInfo("name").tobuf(), "single zero block"),
        (b"x" * 10, "unexpected end"),
    ],
)
def test_malformed_archives(raw: bytes, message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        read_all(raw)


def test_errors_name_the_last_good_entry() -> None:
    raw = write_all([(Entry("good", size=3), b"abc")])[:1024] + b"bad" * 200
    with pytest.raises(InvalidArgument, match="after 'good'"):
        read_all(raw)


def test_a_huge_extended_header_is_refused_before_it_is_read() -> None:
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, 1 << 40
    with pytest.raises(InvalidArgument, match="extended header"):
        read_all(info.tobuf())


def test_read_has_a_limit() -> None:
    reader = TarReader(io.BytesIO(write_all([(Entry("big", size=100), bytes(100))])))
    next(iter(reader))
    with pytest.raises(InvalidArgument, match="'big'"):
        reader.read(99)
    assert reader.read(100) == bytes(100)


def test_the_writer_is_deterministic_and_exact() -> None:
    entry = Entry("f", size=3, xattrs={"user.b": b"2", "user.a": b"1"})
    again = Entry("f", size=3, xattrs={"user.a": b"1", "user.b": b"2"})
    assert write_all([(entry, b"abc")]) == write_all([(again, b"abc")])
    with pytest.raises(ValueError, match="'f' has 2 bytes"):
        write_all([(entry, b"ab")])
    for bad in ("", "a\0b"):
        with pytest.raises(InvalidArgument):
            write_all([(Entry(bad), b"")])


def test_a_file_that_changes_keeps_its_announced_length(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"four")
    for size, expected in ((2, b"fo"), (6, b"four\0\0")):
        sink = io.BytesIO()
        with (tmp_path / "file").open("rb") as file:
            TarWriter(sink).add_file(Entry("file", size=size), file.fileno())
        assert read_all(sink.getvalue())[0][1] == expected


def test_bytes_are_as_they_always_were() -> None:
    # Digests of layers depend on every byte: this may only change knowingly.
    entries = [
        (Entry("etc/", EntryKind.DIRECTORY, 0o755, mtime_ns=10**18), b""),
        (Entry("etc/" + "n" * 200, size=5, uid=3 * 10**6, mtime_ns=10**18), b"hello"),
        (Entry("link", EntryKind.SYMLINK, 0o777, link="etc"), b""),
        (Entry("ü", xattrs={"security.capability": b"\1\0\0\2"}), b""),
    ]
    digest = hashlib.sha256(write_all(entries)).hexdigest()
    assert digest == "7f0bfde6c2a74194f669ca29ede2bc166f63d5c04b23cefe6880486ba4bf63e5"
