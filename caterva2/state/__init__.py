"""State directories as a whole: copied while a service runs, put back, and checked."""
