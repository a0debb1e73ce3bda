"""Values out of raw chunks: slices, points and small reads that never block."""
