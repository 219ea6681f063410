"""Networks from a codec's tokens to other tokens of it: speech enhancement and separation."""
