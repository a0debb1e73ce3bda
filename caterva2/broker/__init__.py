"""The broker: leases of roots, and a proxy for announcements."""
