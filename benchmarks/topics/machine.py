"""What the machine can do without us."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import numpy as np

from benchmarks import data, measuring, report
from benchmarks.fileserver import file_server
from benchmarks.measuring import client, curl
from benchmarks.scale import Scale

SMALL_GETS = 500


def copy(values: data.Floats) -> float:
    target = np.empty_like(values)
    target[:] = 0
    return measuring.seconds(lambda: np.copyto(target, values))


def loopback(size: int) -> float:
    """Seconds to send so many bytes over TCP, between threads that the kernel keeps busy."""
    listening = socket.create_server(("127.0.0.1", 0))
    sender = socket.create_connection(listening.getsockname())
    receiver = listening.accept()[0]
    sent, taken = bytes(2**20), bytearray(2**20)

    def send() -> None:
        for _ in range(size // len(sent)):
            sender.sendall(sent)
        sender.close()

    def receive() -> None:
        while receiver.recv_into(taken):
            pass

    thread = threading.Thread(target=send)
    thread.start()
    took = measuring.seconds(receive)
    thread.join()
    for each in (receiver, listening):
        each.close()
    return took


def run(scale: Scale, place: Path) -> report.Table:
    file = data.write_a(place, scale.a_chunks)
    values = data.a_values(scale.a_chunks)
    stored = file.stat().st_size
    small = place / "small"
    small.write_bytes(bytes(800))
    with file_server(place, place / "server") as (url, name):
        found = measuring.interleaved(
            scale.runs,
            {
                "memcpy": lambda: copy(values),
                "Blosc2 decompression": lambda: client("decode", str(file))[0],
                "TCP over loopback": lambda: loopback(stored),
                f"curl from {name}": lambda: curl(f"{url}/{file.name}"),
            },
        )
        get = measuring.quantile(client("gets", f"{url}/small", str(SMALL_GETS)), 0.5)
    table = report.Table("machine", ("what the machine does", "time", "rate"))
    for what, took in found.items():
        size = values.nbytes if "m" in what[:1] or "Blosc2" in what else stored
        table.add(f"{what}, A", report.time(took), f"{size / took / 1e9:.2f} GB/s")
    table.add(f"small GET from {name}, one connection", report.time(get), f"{1 / get:.0f} /s")
    return table
