"""Exchange: vectors leave the library and come into it."""
