"""Pages of tables: columns of any datasets, and the rows that a filter or an order names."""
