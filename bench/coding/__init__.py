"""What a codec is and what it sends: its interface, codes as values, how few bits they could take, and which are used."""
