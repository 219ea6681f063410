"""Text to speech over codec tokens: a Llama-style decoder that reads characters and writes tokens (FocalCodec's protocol)."""
