"""Functions as people write them, each with what the checker must say of it (`EXPECT`)."""
