"""Seeds: small inputs of each target, as the programs write them that make such bytes."""

from __future__ import annotations

import functools
import gzip
import io
import json
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import blosc2
import h5py
import msgpack
import numpy as np

from tests.fuzz.targets.chunk_gate import BLOCKSIZE, NBYTES, TYPESIZE

WIRE = Path(__file__).parents[1] / "wire" / "golden.txt"
SAMPLE = Path(__file__).parents[2] / "conf" / "caterva2.sample.toml"
Seeds = list[bytes]


def texts(*given: str) -> Seeds:
    return [text.encode() for text in given]


def wire() -> Seeds:
    """The headers of the golden messages."""
    words = WIRE.read_text().split()
    found = [bytes.fromhex(word) for word in words if len(word) % 2 == 0 and _is_hex(word)]
    return [packed for packed in found if packed[:1] and packed[0] >> 4 in (0x8, 0xD)]


def _is_hex(word: str) -> bool:
    return len(word) > 8 and set(word) <= set("0123456789abcdef")


def chunk_gate() -> Seeds:
    values = np.arange(NBYTES // TYPESIZE, dtype="i4")
    given: list[dict[str, Any]] = [
        {"codec": codec, "filters": [filter_]}
        for codec in (blosc2.Codec.LZ4, blosc2.Codec.ZSTD, blosc2.Codec.BLOSCLZ)
        for filter_ in (blosc2.Filter.NOFILTER, blosc2.Filter.SHUFFLE, blosc2.Filter.BITSHUFFLE)
    ]
    made = [
        bytes(blosc2.compress2(values, typesize=TYPESIZE, blocksize=BLOCKSIZE, nthreads=1, **more))
        for more in given
    ]
    zeros = np.zeros_like(values)
    return [*made, bytes(blosc2.compress2(zeros, typesize=TYPESIZE, blocksize=BLOCKSIZE))]


def blosc1() -> Seeds:
    import numcodecs

    values = np.arange(1000, dtype="i4")
    return [
        bytes(numcodecs.Blosc(cname, shuffle=shuffle, blocksize=size).encode(values))
        for cname in ("lz4", "zstd", "blosclz", "zlib")
        for shuffle, size in ((0, 0), (1, 512), (2, 1024))
    ]


def frames() -> Seeds:
    array = blosc2.asarray(np.arange(40, dtype="i4"), chunks=(10,), blocks=(5,), contiguous=True)
    array.schunk.vlmeta["a"], array.schunk.vlmeta["b"] = 1, ["foo", 1.5]
    record = np.zeros(6, [("x", "<f8"), ("y", "S3")])
    schunk = blosc2.SChunk(chunksize=50, data=b"Hello world!" * 10, cparams={"typesize": 1})
    arrays = (array, blosc2.asarray(record, contiguous=True), blosc2.zeros((9, 9), contiguous=True))
    return [*(bytes(one.to_cframe()) for one in arrays), bytes(schunk.to_cframe())]


def _stored(name: str, kind: Callable[..., Any], **given: Any) -> bytes:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / name
        with kind(str(path), mode="w", **given) as store:
            store["/x"] = blosc2.arange(20)
            store["/g/y"] = blosc2.zeros((4, 5))
        return path.read_bytes()


def zips() -> Seeds:
    return [_stored("a.b2z", blosc2.TreeStore, threshold=most) for most in (0, 2**20)]


def zarr_zips() -> Seeds:
    """A store of version 2 and one of version 3, each with some chunks."""
    v2, v3 = documents()[0], documents()[4]
    plain = json.dumps(json.loads(v2) | {"compressor": None}).encode()
    files: tuple[dict[str, bytes], ...] = (
        {".zgroup": b'{"zarr_format": 2}', ".zattrs": b'{"a": [1]}', "x/.zarray": v2,
         "x/0.0": blosc1()[0], "y/.zarray": plain, "y/0.0": bytes(range(160))},
        {"zarr.json": documents()[-1], "x/zarr.json": v3, "x/c/0": gzip.compress(bytes(80))},
    )  # fmt: skip
    made = []
    for method, content in zip((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED), files, strict=True):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", method) as packed:
            for name, data in content.items():
                packed.writestr(name, data)
        made.append(buffer.getvalue())
    return made


def archives() -> Seeds:
    made = []
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", method) as packed:
            packed.writestr("d/a.txt", b"text " * 50)
            packed.writestr("b.b2nd", frames()[0])
        made.append(buffer.getvalue())
    for form in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz", format=form) as tarred:
            member = tarfile.TarInfo("é" * 60 + "/a.txt")
            member.size = 5
            tarred.addfile(member, io.BytesIO(b"hello"))
        made.append(buffer.getvalue())
    return [*made, gzip.compress(gzip.decompress(made[-1]), 0)]  # stored, so that bytes are theirs


def multipart() -> Seeds:
    part = "--boundary\r\nContent-Disposition: form-data; name="
    file = f'{part}"file"; filename="a.b2nd"\r\nContent-Type: text/plain\r\n\r\ndata\r\n'
    return texts(f'{part}"x"\r\n\r\ny\r\n{file}--boundary--\r\n', f"{file}{file}--boundary--")


def embedded() -> Seeds:
    return [_stored("a.b2e", blosc2.EmbedStore)]


def hdf5_headers() -> Seeds:
    """Files whose last bytes are the address of a dataset's header."""
    made = []
    for libver in ("earliest", "latest"):
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "a.h5"
            with h5py.File(path, "w", libver=libver) as file:
                ids = [
                    file.create_dataset("x", data=np.arange(5)).id,
                    file.create_dataset("y", data=np.arange(50), chunks=(10,)).id,
                    file.create_dataset("z", data=np.arange(50), chunks=(9,), compression=1).id,
                ]
                at = [h5py.h5o.get_info(one).addr for one in ids]
            data = path.read_bytes().rstrip(b"\0")
        made += [data + address.to_bytes(2, "little") for address in at]
    return made


def slices() -> Seeds:
    return texts("", "5", "1, :5, ::2", "...", "-1:, ..., 0", "10:0:-3", "999:1000", "0:0", ":,:,:")


def dtypes() -> Seeds:
    return texts(
        "<i4", "|S5", ">M8[ns]", "int64", "<U6", "[('a', '<i4'), ('b', '|S3')]", "|b1", "<c16",
        "[('x', '<f8', (2, 3)), ('y', [('z', '|u1')])]", "[(('title', 'n'), '<i2')]", "<m8[25s]",
    )  # fmt: skip


def attributes() -> Seeds:
    values = [
        1, "text", b"bytes", [1, 2.5, None], {"a": {"b": [True]}},
        {"dtype": "<f8", "shape": [2], "value": [1.5, 2]},
        {"dtype": "text", "shape": [], "value": "x"},
        {"dtype": "json", "value": {"x": [1]}},
        {"dtype": "list", "items": [{"dtype": "<i4", "shape": [], "value": 1}]},
        {"dtype": "vlen", "shape": [2], "lengths": [1, 2],
         "items": {"dtype": "<i4", "shape": [3], "value": [1, 2, 3]}},
        {"dtype": "bytes", "shape": [1], "value": ["YWI="]},
        {"dtype": "map", "items": [[{"dtype": "text", "shape": [], "value": "k"},
                                    {"dtype": "<c8", "shape": [], "value": [1.0, 2.0]}]]},
        {"dtype": "record", "shape": [],
         "fields": {"x": {"dtype": "<f4", "shape": [], "value": 1}}},
        msgpack.ExtType(44, msgpack.packb([1.0, 2.0])), msgpack.ExtType(45, msgpack.packb([1, 2])),
        msgpack.ExtType(46, msgpack.packb(
            {"shape": [2], "dtype": {"str": "<i4"}, "data": bytes(8)})),
        msgpack.ExtType(46, msgpack.packb({"shape": [2], "values": ["a", None]})),
        {"a": [5, msgpack.packb({"dtype": "<i4", "shape": [], "value": 1})]},
    ]  # fmt: skip
    return [bytes(msgpack.packb(value)) for value in values]


def headers() -> Seeds:
    return texts(
        "bytes=0-99", "bytes=-5, 10-20,30-", "bytes=2-1", '"e", W/"x"', "*", "data.example:80",
        "[::1]:8000", "127.0.0.1, 10.0.0.1, x", "Sun, 06 Nov 1994 08:49:37 GMT", "https",
        "Sun Nov  6 08:49:37 1994",
    )  # fmt: skip


def heads() -> Seeds:
    host = "Host: localhost\r\n"
    return texts(
        f"GET / HTTP/1.1\r\n{host}\r\n",
        f"GET /a?b=c HTTP/1.0\r\n{host}Cookie: a=b\r\nRange: bytes=0-5\r\n\r\n",
        f"POST /x HTTP/1.1\r\n{host}Content-Length: 5\r\n\r\nhello",
        f"POST /x HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n"
        "0\r\nTrailer: x\r\n\r\n",
        f"GET / HTTP/1.1\r\n{host}\r\n" * 3,
        f"GET / HTTP/1.1\r\n{host}Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        f"POST / HTTP/1.1\r\n{host}Expect: 100-continue\r\nContent-Length: 1\r\n\r\n.",
    )


def names() -> Seeds:
    return texts("foo", "@public", "foo/a/b.b2nd", "foo/../x", "foo//x", "a/.group", "foo/é", "a/")


def settings() -> Seeds:
    return [
        SAMPLE.read_bytes(),
        *texts(
            "[limits.web]\nmembers = 3\n[limits.broker]\nlease_ttl = 1.5\nbeat = 0.3\n",
            "a = " + "[" * 2000,
            '[publisher.a]\nname = "foo"\nroot = "."\nread = ["a@b"]\n',
            '[subscriber]\nhttp = "localhost:0"\n[subscriber.roots.foo]\nread = "users"\n',
        ),
    ]


def zarr() -> Seeds:
    """Documents, and documents with a chunk behind them."""
    import numcodecs

    values, plain = np.arange(20.0).reshape(5, 4), json.loads(documents()[0])
    codecs = (
        numcodecs.Blosc("zstd"), numcodecs.Zstd(), numcodecs.LZ4(), numcodecs.BZ2(),
        numcodecs.LZMA(), numcodecs.Zlib(), numcodecs.GZip(), numcodecs.Shuffle(8),
    )  # fmt: skip
    written = [json.dumps(plain | {"compressor": codec.get_config()}) for codec in codecs]
    chunks = [bytes(codec.encode(values)) for codec in codecs]
    pairs = zip(written, chunks, strict=True)
    return [*documents(), *(text.encode() + b"\0" + chunk for text, chunk in pairs)]


def documents() -> Seeds:
    v2: dict[str, Any] = {
        "zarr_format": 2, "shape": [20, 20], "chunks": [5, 4], "dtype": "<f8", "fill_value": 0,
        "compressor": {"id": "blosc", "cname": "lz4", "clevel": 5, "shuffle": 1}, "order": "C",
        "filters": None, "dimension_separator": ".",
    }  # fmt: skip
    fields = {"dtype": [["a", "<i4"], ["b", "|S3", [2]]], "fill_value": "AAAAAAAAAAAAAA=="}
    filters = {"filters": [{"id": "delta", "dtype": "<f8"}], "compressor": {"id": "zstd"}}
    little = {"name": "bytes", "configuration": {"endian": "little"}}
    v3: dict[str, Any] = {
        "zarr_format": 3, "node_type": "array", "shape": [20], "data_type": "float64",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [10]}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": "NaN", "codecs": [little, {"name": "gzip", "configuration": {"level": 1}}],
        "attributes": {"x": 1}, "dimension_names": ["t"],
    }  # fmt: skip
    inner = {"chunk_shape": [5], "codecs": [little], "index_codecs": [little, "crc32c"]}
    shards = {"codecs": [{"name": "sharding_indexed", "configuration": inner}]}
    turned = {"codecs": [{"name": "transpose", "configuration": {"order": [0]}}, "bytes", "zstd"]}
    record = {
        "data_type": {"name": "struct", "configuration": {"fields": [["a", "int32"]]}},
        "fill_value": "AAAAAA==",
    }  # fmt: skip
    made = [v2, v2 | fields, v2 | filters, v2 | {"dtype": "<M8[s]", "fill_value": "NaT"}, v3,
            v3 | shards, v3 | turned, v3 | record, v3 | {"data_type": "int8", "fill_value": 1},
            v3 | {"data_type": {"name": "fixed_length_utf32", "configuration": {"length_bytes": 8}},
                  "fill_value": ""}, {"zarr_format": 3, "node_type": "group"}]  # fmt: skip
    return [json.dumps(document).encode() for document in made]


def proofs() -> Seeds:
    from tests.fuzz.targets.proofs import honest

    return [honest(n) for n in (0, 1, 63, 64, 69)]


def allow_list() -> Seeds:
    lines = f"# who\nsite-b {'a' * 64} read climate,lab-*\n\nstation {'0' * 64} publish station-*\n"
    return texts(lines, f"{lines}gateway {'a' * 64} both *\n", "x y z")


def expressions() -> Seeds:
    return texts(
        "a + 1", "sin(a) * b ** 2 - c['x']", "sum(a, axis=(0, 1))", "where(a > 3, a, nan)",
        "a[1:5, ..., ::2]", "(a & ~b) | (c << 2)", "mean(a) - 1e308 * 2j", "not_a", "2 ** 63",
    )  # fmt: skip


@functools.cache
def seeds(name: str) -> tuple[bytes, ...]:
    """The seeds of a target."""
    made: Seeds = globals()[name]()
    return tuple(made)
