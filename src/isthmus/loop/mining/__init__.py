"""Mining: which scenes a rule holds for, which are alike, and what a table is made of."""
