"""Second, independent ways to what the package says: small, slow, and written from the definitions
alone.

Nothing in this folder imports `xor_mi`. Each module holds one question. A fixed sample is compared
in the tests, and as many as one likes by `python benchmarks/fuzz_exact.py N`.
"""
