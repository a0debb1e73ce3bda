"""What services show of themselves: metrics as text, their process, stalls, and recent faults."""
