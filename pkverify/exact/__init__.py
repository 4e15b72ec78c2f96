"""The exact route: closed forms, and identities that hold identically, over the rationals."""
