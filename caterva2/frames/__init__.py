"""Blosc2 frames: validation of chunks, reading of untrusted files, composition from chunks.

The formats are those of the Blosc2 library: README_CHUNK_FORMAT.rst and
README_CFRAME_FORMAT.rst in c-blosc2, README_B2ND_METALAYER.rst for arrays.
"""
