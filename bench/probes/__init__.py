"""BiLSTM probes on codec tokens, and their training loop."""
