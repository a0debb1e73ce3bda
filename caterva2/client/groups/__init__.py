"""What directories and roots show and do: levels, trees, searches, tables, downloads."""
