"""Care: what the library holds, and whether all that vidrec needs is there."""
