"""Run an attack on services: ``python -m benchmarks.hostile NAME TARGET``."""

from __future__ import annotations

import sys

from benchmarks.hostile import files, rogue, web, wire
from benchmarks.hostile.target import Target

ATTACKS = {
    made.__name__: made
    for made in (
        web.endless_head, web.idle_sockets, web.lock_out, files.name_of_bytes,
        files.swapped_links, files.damaged_hdf5, wire.unfinished, wire.topics, wire.lazy_readers,
        wire.forged_change, wire.burnt_name, wire.lease_theft, wire.foreign_endpoints,
        wire.many_names, rogue.endless_catalog, rogue.endless_frames, rogue.many_roots,
    )
}  # fmt: skip

if __name__ == "__main__":
    print(ATTACKS[sys.argv[1]](Target.parse(sys.argv[2])))
