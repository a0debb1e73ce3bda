"""Who may log in, and who may read what: accounts, passwords, sessions and the policy."""
