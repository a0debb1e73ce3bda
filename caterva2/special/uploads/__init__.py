"""What users send: files, archives, and uploads that go on after an interruption."""
