"""Stored chunks as shards of Zarr: their blocks in the format of Blosc 1, without recompression.

A Blosc2 chunk is a header, a table of starts, and blocks; a chunk of Blosc 1 with one block has
another header in front of the same bytes. So a shard of Zarr's codec ``sharding_indexed``, whose
inner chunks are compressed by the codec ``blosc``, has all blocks of a chunk with 20 bytes in front
of each, and an index behind them.
"""
