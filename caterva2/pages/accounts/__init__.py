"""Pages of users: login, accounts, and changes of their files."""
