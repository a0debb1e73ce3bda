"""From a numpy key to values: regions, requests, decoding and downloads."""
