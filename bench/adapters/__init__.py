"""One file per codec family: turns a model or a library into a Codec. Found by the name a card gives."""
