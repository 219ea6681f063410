"""From a plan to rows: which stages are due, where they run, what is already in the store."""
