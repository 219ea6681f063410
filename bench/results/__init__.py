"""Results: rows, their files, how runs are merged into them, and the tables and plots made from them."""
