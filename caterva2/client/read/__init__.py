"""Reading: numpy keys, regions, requests, decoding and downloads."""
