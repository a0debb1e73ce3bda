"""What an origin signs, and how readers check it: keys, statements, digests of catalogs, proofs."""
