"""Whether code that changed still gives what it gave: golden outputs, a sample of stored results, and certificates.

A certificate says that the code with a certain hash was shown to compute what a version of a definition stands for. For
a hash without one, `bench certify` recomputes the definition on golden cases and on a sample of the committed results.
Codes and waves must be equal bit for bit, scores within 1 % of their column's margin. What is equal gets its
certificate, and no stored result is due; what differs needs a new version.
"""
